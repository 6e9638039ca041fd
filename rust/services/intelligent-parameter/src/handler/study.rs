//! StudyService: its contract is complete, its optimiser is not in this build.

use tonic::{Request, Response, Status};
use uait_gen::intelligent_parameter::v1::study_service_server::StudyService;
use uait_gen::intelligent_parameter::v1::*;

use crate::error::Error;

/// Answers every call of `StudyService` that there are no studies yet.
pub struct Studies;

fn missing<T>(what: &'static str) -> Result<Response<T>, Status> {
    let why =
        "studies are not in this build: it has no optimiser over search spaces, only the bandit of ParameterService";
    Err(Error::NotImplemented { what, why }.into())
}

#[tonic::async_trait]
impl StudyService for Studies {
    async fn create_study(&self, _: Request<CreateStudyRequest>) -> Result<Response<CreateStudyResponse>, Status> {
        missing("StudyService/CreateStudy")
    }

    async fn get_study(&self, _: Request<GetStudyRequest>) -> Result<Response<GetStudyResponse>, Status> {
        missing("StudyService/GetStudy")
    }

    async fn list_studies(&self, _: Request<ListStudiesRequest>) -> Result<Response<ListStudiesResponse>, Status> {
        missing("StudyService/ListStudies")
    }

    async fn delete_study(&self, _: Request<DeleteStudyRequest>) -> Result<Response<DeleteStudyResponse>, Status> {
        missing("StudyService/DeleteStudy")
    }

    async fn suggest_trials(
        &self,
        _: Request<SuggestTrialsRequest>,
    ) -> Result<Response<SuggestTrialsResponse>, Status> {
        missing("StudyService/SuggestTrials")
    }

    async fn add_measurement(
        &self,
        _: Request<AddMeasurementRequest>,
    ) -> Result<Response<AddMeasurementResponse>, Status> {
        missing("StudyService/AddMeasurement")
    }

    async fn complete_trial(
        &self,
        _: Request<CompleteTrialRequest>,
    ) -> Result<Response<CompleteTrialResponse>, Status> {
        missing("StudyService/CompleteTrial")
    }

    async fn stop_trial(&self, _: Request<StopTrialRequest>) -> Result<Response<StopTrialResponse>, Status> {
        missing("StudyService/StopTrial")
    }

    async fn check_early_stop(
        &self,
        _: Request<CheckEarlyStopRequest>,
    ) -> Result<Response<CheckEarlyStopResponse>, Status> {
        missing("StudyService/CheckEarlyStop")
    }

    async fn list_trials(&self, _: Request<ListTrialsRequest>) -> Result<Response<ListTrialsResponse>, Status> {
        missing("StudyService/ListTrials")
    }

    async fn list_optimal_trials(
        &self,
        _: Request<ListOptimalTrialsRequest>,
    ) -> Result<Response<ListOptimalTrialsResponse>, Status> {
        missing("StudyService/ListOptimalTrials")
    }
}
