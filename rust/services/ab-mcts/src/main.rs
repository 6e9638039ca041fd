//! The ab-mcts service.

use std::process::ExitCode;

use uait_ab_mcts::config::DEFAULTS;
use uait_ab_mcts::handler::Handler;
use uait_ab_mcts::store::Store;
use uait_gen::ab_mcts::v1::ab_mcts_service_server::AbMctsServiceServer;
use uait_kit::serve::Server;

fn main() -> ExitCode {
    uait_kit::run(DEFAULTS, async |kit, _| {
        let store = Store::new(&kit.events);
        Server::new(kit).with(AbMctsServiceServer::new(Handler::new(store))).run().await
    })
}
