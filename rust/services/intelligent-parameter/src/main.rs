//! The intelligent-parameter service.

use std::process::ExitCode;

use uait_gen::intelligent_parameter::v1::parameter_service_server::ParameterServiceServer;
use uait_gen::intelligent_parameter::v1::study_service_server::StudyServiceServer;
use uait_intelligent_parameter::config::{Config, DEFAULTS};
use uait_intelligent_parameter::handler::{Handler, Studies};
use uait_intelligent_parameter::store::Store;
use uait_kit::serve::Server;

fn main() -> ExitCode {
    uait_kit::run(DEFAULTS, async |kit, environment| {
        let config = Config::read(&environment)?;
        let handler = Handler::new(Store::new(&kit.events, config.half_life));
        Server::new(kit).with(ParameterServiceServer::new(handler)).with(StudyServiceServer::new(Studies)).run().await
    })
}
