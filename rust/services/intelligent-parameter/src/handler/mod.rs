//! The contract of `uait.intelligent_parameter.v1`: each method checks, calls and converts.

mod arm;
mod study;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use tonic::{Request, Response, Status};
use uait_gen::intelligent_parameter::v1::parameter_service_server::ParameterService;
use uait_gen::intelligent_parameter::v1::posterior::{Beta, Distribution, NormalInverseGamma};
use uait_gen::intelligent_parameter::v1::record_feedback_request::Arm as Named;
use uait_gen::intelligent_parameter::v1::*;
use uait_kit::Call;
use uait_kit::events::ParameterFeedbackRecorded;
use uait_kit::validate::{Invalid, Violation};

pub use arm::arm_id;
pub use study::Studies;

use crate::bandit::{Bandit, Belief};
use crate::choice::{choose, draw};
use crate::error::Error;
use crate::knowledge::Knowledge;
use crate::posterior;
use crate::propensity::propensities;
use crate::store::{Parameters, Store};
use crate::suggested::Suggested;

/// Answers the calls of `ParameterService`.
pub struct Handler {
    store: Store,
    suggested: Suggested<Parameters>,
}

/// An arm with what is believed of it.
struct Candidate {
    arm_id: String,
    parameters: Parameters,
    belief: Belief,
}

/// What an arm may cost and take on average.
#[derive(Clone, Copy)]
struct Limits {
    cost_micro_usd: Option<f64>,
    latency_s: Option<f64>,
}

impl Handler {
    /// Makes the handler.
    pub fn new(store: Store) -> Self {
        Self { store, suggested: Suggested::default() }
    }
}

impl Limits {
    #[allow(clippy::cast_precision_loss, reason = "amounts of money stay far below 2^52")]
    fn of(request: &GetParametersRequest) -> Self {
        Self {
            cost_micro_usd: request.max_cost_micro_usd.map(|cost| cost as f64),
            latency_s: request.max_latency.and_then(seconds),
        }
    }

    /// Whether an arm keeps to them, as far as is known: one that nobody has measured does.
    fn allow(self, belief: &Belief) -> bool {
        let within =
            |limit: Option<f64>, mean: Option<f64>| limit.is_none_or(|limit| mean.is_none_or(|mean| mean <= limit));
        within(self.cost_micro_usd, belief.mean_cost_micro_usd) && within(self.latency_s, belief.mean_latency_s)
    }
}

impl Candidate {
    fn arm(&self) -> Arm {
        Arm { arm_id: self.arm_id.clone(), parameters: Some(ParameterSet::clone(&self.parameters)) }
    }
}

#[tonic::async_trait]
impl ParameterService for Handler {
    async fn get_parameters(
        &self,
        request: Request<GetParametersRequest>,
    ) -> Result<Response<GetParametersResponse>, Status> {
        let request = request.into_inner();
        if !request.features.is_empty() {
            let why =
                "arms are not contextual in this build: features are recorded with feedback, and not used to choose";
            return Err(Error::NotImplemented { what: "GetParametersRequest.features", why }.into());
        }
        let (limits, count) = (Limits::of(&request), request.count.max(1));
        let given = distinct(request.candidates);
        let (tenant, task_type) = (tenant(), request.task_type);
        let of_tenant = tenant.clone();
        let candidates = self
            .store
            .look(move |known| {
                let mut candidates = candidates(known, &of_tenant, &task_type, &given);
                if candidates.is_empty() {
                    return Err(Error::NoCandidate { requirement: "an arm that is known for the task type" });
                }
                candidates.retain(|candidate| limits.allow(&candidate.belief));
                if candidates.is_empty() {
                    return Err(Error::NoCandidate { requirement: "a mean within max_cost_micro_usd and max_latency" });
                }
                Ok(candidates)
            })
            .await?;
        let seed = request.seed.unwrap_or_else(rand::random);
        let suggestions = computed(move || suggestions(&candidates, count, seed)).await?;
        for suggestion in &suggestions {
            if let Some(Arm { arm_id, parameters: Some(parameters) }) = &suggestion.arm {
                self.suggested.note(&tenant, arm_id, &Arc::new(parameters.clone()));
            }
        }
        Ok(Response::new(GetParametersResponse { suggestions }))
    }

    async fn record_feedback(
        &self,
        request: Request<RecordFeedbackRequest>,
    ) -> Result<Response<RecordFeedbackResponse>, Status> {
        let request = request.into_inner();
        finite("features", &request.features)?;
        let arm = match request.arm {
            Some(Named::ArmId(arm_id)) => {
                let suggested = self.suggested.parameters(&tenant(), &arm_id);
                Arm { arm_id, parameters: suggested.map(|parameters| ParameterSet::clone(&parameters)) }
            }
            Some(Named::Parameters(parameters)) => Arm { arm_id: arm_id(&parameters), parameters: Some(parameters) },
            None => Arm::default(),
        };
        let feedback = ParameterFeedbackRecorded {
            task_type: request.task_type,
            request_id: request.request_id,
            arm: Some(arm.clone()),
            reward: request.reward,
            features: request.features,
            latency: request.latency,
            usage: request.usage,
            propensity: request.propensity,
            run_id: request.run_id,
        };
        let answer = self.store.record(feedback).await?;
        Ok(Response::new(RecordFeedbackResponse {
            posterior: Some(told(&arm.arm_id, &answer.belief)),
            arm: Some(Arm { arm_id: arm.arm_id, parameters: Some(ParameterSet::clone(&answer.parameters)) }),
        }))
    }

    async fn sample_posterior(
        &self,
        request: Request<SamplePosteriorRequest>,
    ) -> Result<Response<SamplePosteriorResponse>, Status> {
        let SamplePosteriorRequest { task_type, arm_ids, draws, seed } = request.into_inner();
        let tenant = tenant();
        let candidates = self.store.look(move |known| selected(known, &tenant, &task_type, &arm_ids)).await?;
        let seed = seed.unwrap_or_else(rand::random);
        let draws = usize::try_from(draws).unwrap_or_default();
        let samples = computed(move || samples(&candidates, draws, seed)).await?;
        Ok(Response::new(SamplePosteriorResponse { samples }))
    }
}

/// The arms to choose among: those given, or else those known.
fn candidates(
    known: &Knowledge<Parameters>,
    tenant: &str,
    task_type: &str,
    given: &[(String, Parameters)],
) -> Vec<Candidate> {
    let candidate = |arm_id: &str, parameters: &Parameters| Candidate {
        arm_id: arm_id.to_owned(),
        parameters: parameters.clone(),
        belief: known.belief(tenant, task_type, arm_id),
    };
    if given.is_empty() {
        let bandit = known.bandit(tenant, task_type);
        return bandit.into_iter().flat_map(Bandit::arms).map(|(id, set)| candidate(id, set)).collect();
    }
    given.iter().map(|(id, set)| candidate(id, set)).collect()
}

/// The arms of these ids, or all that are known.
fn selected(
    known: &Knowledge<Parameters>,
    tenant: &str,
    task_type: &str,
    arm_ids: &[String],
) -> Result<Vec<Candidate>, Error> {
    if arm_ids.is_empty() {
        return Ok(candidates(known, tenant, task_type, &[]));
    }
    let bandit = known.bandit(tenant, task_type);
    arm_ids
        .iter()
        .map(|arm_id| {
            let parameters = bandit.and_then(|bandit| bandit.parameters(arm_id)).cloned();
            let parameters = parameters.ok_or_else(|| Error::ArmUnknown { arm_id: arm_id.clone() })?;
            let belief = known.belief(tenant, task_type, arm_id);
            Ok(Candidate { arm_id: arm_id.clone(), parameters, belief })
        })
        .collect()
}

/// Each set of parameters once, with its id, in the order given.
fn distinct(sets: Vec<ParameterSet>) -> Vec<(String, Parameters)> {
    let mut seen = HashSet::new();
    let with_ids = sets.into_iter().map(|set| (arm_id(&set), Arc::new(set)));
    with_ids.filter(|(id, _)| seen.insert(id.clone())).collect()
}

fn suggestions(candidates: &[Candidate], count: i32, seed: u64) -> Vec<get_parameters_response::Suggestion> {
    let posteriors = posteriors(candidates);
    let propensities = propensities(&posteriors);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .filter_map(|_| {
            let choice = choose(&posteriors, &mut random)?;
            let candidate = &candidates[choice.arm];
            Some(get_parameters_response::Suggestion {
                arm: Some(candidate.arm()),
                drawn_reward: choice.drawn_reward,
                propensity: propensities[choice.arm],
                posterior: Some(told(&candidate.arm_id, &candidate.belief)),
            })
        })
        .collect()
}

fn samples(candidates: &[Candidate], draws: usize, seed: u64) -> Vec<sample_posterior_response::Sample> {
    let drawn = draw(&posteriors(candidates), draws, &mut ChaCha8Rng::seed_from_u64(seed));
    let mut samples: Vec<_> = candidates
        .iter()
        .zip(drawn.rewards.into_iter().zip(drawn.best))
        .map(|(candidate, (draws, best_probability))| sample_posterior_response::Sample {
            arm: Some(candidate.arm()),
            posterior: Some(told(&candidate.arm_id, &candidate.belief)),
            draws,
            best_probability,
        })
        .collect();
    let mean = |sample: &sample_posterior_response::Sample| sample.posterior.as_ref().map_or(0.0, |told| told.mean);
    samples.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
    samples
}

fn posteriors(candidates: &[Candidate]) -> Vec<posterior::Posterior> {
    candidates.iter().map(|candidate| candidate.belief.posterior).collect()
}

fn told(arm_id: &str, belief: &Belief) -> Posterior {
    let (mean, standard_deviation) = belief.posterior.moments();
    let distribution = match belief.posterior {
        posterior::Posterior::Beta { alpha, beta } => Distribution::Beta(Beta { alpha, beta }),
        posterior::Posterior::NormalInverseGamma { mean, kappa, alpha, beta } => {
            Distribution::NormalInverseGamma(NormalInverseGamma { mean, kappa, alpha, beta })
        }
    };
    Posterior {
        arm_id: arm_id.to_owned(),
        distribution: Some(distribution),
        mean,
        standard_deviation,
        observations: belief.observations,
    }
}

/// Runs what takes milliseconds of a processor away from the threads that answer calls.
async fn computed<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

fn finite(field: &str, numbers: &HashMap<String, f64>) -> Result<(), Error> {
    let mut broken: Vec<&String> =
        numbers.iter().filter(|(_, number)| !number.is_finite()).map(|(key, _)| key).collect();
    broken.sort();
    let violation = |key: &&String| Violation {
        field: format!("{field}[{key:?}]"),
        rule: "double.finite".into(),
        description: "must be finite".into(),
    };
    if broken.is_empty() { Ok(()) } else { Err(Invalid(broken.iter().map(violation).collect()).into()) }
}

fn seconds(duration: prost_types::Duration) -> Option<f64> {
    Duration::try_from(duration).ok().map(|duration| duration.as_secs_f64())
}

fn tenant() -> String {
    Call::current().unwrap_or_default().identity.tenant().to_owned()
}
