//! The echo service.

use std::process::ExitCode;

use uait_echo::config::{Config, DEFAULTS};
use uait_echo::handler::Handler;
use uait_gen::echo::v1::echo_service_server::EchoServiceServer;
use uait_kit::serve::Server;

fn main() -> ExitCode {
    uait_kit::run(DEFAULTS, async |kit, environment| {
        let config = Config::read(&environment)?;
        let handler = Handler::new(&kit, &config);
        Server::new(kit).with(EchoServiceServer::new(handler)).run().await
    })
}
