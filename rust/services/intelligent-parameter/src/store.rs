//! The journal of feedback, in the area `parameter`: what was answered is on disk, and a replay of it is the knowledge.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prost::Message as _;
use ring::digest::{SHA256, digest};
use uait_gen::intelligent_parameter::v1::ParameterSet;
use uait_kit::Call;
use uait_kit::events::journal::{MemoryLog, State};
use uait_kit::events::{Event, Events, Journal, ParameterFeedbackRecorded, Payload};

use crate::bandit::{HalfLife, Outcome};
use crate::error::Error;
use crate::knowledge::{Answer, Feedback, Fingerprint, Knowledge};

/// Area of the events, shared with the studies.
const AREA: &str = "parameter";

/// Parameters, shared by everything that knows of them.
pub type Parameters = Arc<ParameterSet>;

/// The knowledge as a state of the journal.
pub struct Learnt(Knowledge<Parameters>);

impl State for Learnt {
    fn apply(&mut self, sequence: u64, event: &Event) {
        let Some(Payload::ParameterFeedbackRecorded(recorded)) = &event.payload else { return };
        let Some((arm_id, parameters)) =
            recorded.arm.as_ref().and_then(|arm| Some((&arm.arm_id, arm.parameters.clone()?)))
        else {
            tracing::error!(sequence, "feedback of no arm is left out");
            return;
        };
        self.0.learn(Feedback {
            request: request_of(&event.tenant, &recorded.request_id),
            content: content_of(recorded),
            time: event.time.and_then(|time| time.try_into().ok()).unwrap_or(SystemTime::UNIX_EPOCH),
            tenant: &event.tenant,
            task_type: &recorded.task_type,
            arm_id,
            parameters: Arc::new(parameters),
            outcome: outcome_of(recorded),
        });
    }
}

/// The feedback of all tenants, durable.
pub struct Store(Journal<Learnt>);

impl Store {
    /// Begins to replay the journal. To be called inside of the runtime.
    pub fn new(events: &Events, half_life: HalfLife) -> Self {
        Self(Journal::new(events, AREA, move || Learnt(Knowledge::new(half_life))))
    }

    /// A store in memory, for tests. Stores over clones of one log are replicas of each other.
    pub fn in_memory(log: &MemoryLog, half_life: HalfLife) -> Self {
        let initial = move || Learnt(Knowledge::new(half_life));
        Self(Journal::in_memory(log, AREA, "intelligent-parameter", initial))
    }

    /// Looks at what is known.
    ///
    /// # Errors
    /// Those of `look`, and that the journal was not replayed before the caller's deadline.
    pub async fn look<T: Send + 'static>(
        &self,
        mut look: impl FnMut(&Knowledge<Parameters>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.read(move |learnt: &Learnt| look(&learnt.0)).await
    }

    /// Stores feedback of the current call's tenant, once for each request, and answers what is believed right after it. The
    /// parameters of an arm that is named by its id only are those known.
    ///
    /// # Errors
    /// The arm is not known, the request's id was used for other feedback, or the journal cannot be written.
    pub async fn record(&self, feedback: ParameterFeedbackRecorded) -> Result<Answer<Parameters>, Error> {
        let tenant = Call::current().unwrap_or_default().identity.tenant().to_owned();
        let (request, content) = (request_of(&tenant, &feedback.request_id), content_of(&feedback));
        let (task_type, arm_id) = (feedback.task_type.clone(), arm_of(&feedback).to_owned());
        // What repeats of one request do depends on each other; everything else may share a round trip.
        let scope = format!("{tenant}/{}", feedback.request_id);
        let of_tenant = tenant.clone();
        let decide = move |Learnt(known): &Learnt| match known.answer(&request) {
            Some(answer) if answer.content == content => Ok((Vec::new(), None)),
            Some(_) => Err(Error::RequestIdReused { request_id: feedback.request_id.clone() }),
            None => {
                let feedback = with_parameters(&feedback, known, &of_tenant)?;
                let parameters = feedback.arm.as_ref().and_then(|arm| arm.parameters.clone()).map(Arc::new);
                Ok((vec![Payload::ParameterFeedbackRecorded(feedback)], parameters))
            }
        };
        let answer = move |Learnt(known): &Learnt, parameters: Option<Parameters>| {
            known.answer(&request).cloned().unwrap_or_else(|| Answer {
                // A clock that is a day behind: the answer is given, and forgotten by now.
                content,
                parameters: parameters.unwrap_or_default(),
                belief: known.belief(&tenant, &task_type, &arm_id),
            })
        };
        self.0.commit(scope, decide, answer).await
    }
}

fn with_parameters(
    feedback: &ParameterFeedbackRecorded,
    known: &Knowledge<Parameters>,
    tenant: &str,
) -> Result<ParameterFeedbackRecorded, Error> {
    let mut feedback = feedback.clone();
    if let Some(arm) = &mut feedback.arm
        && arm.parameters.is_none()
    {
        let parameters =
            known.parameters(tenant, &arm.arm_id).ok_or_else(|| Error::ArmUnknown { arm_id: arm.arm_id.clone() })?;
        arm.parameters = Some(ParameterSet::clone(parameters));
    }
    Ok(feedback)
}

fn arm_of(feedback: &ParameterFeedbackRecorded) -> &str {
    feedback.arm.as_ref().map_or("", |arm| &arm.arm_id)
}

#[allow(clippy::cast_precision_loss, reason = "amounts of money stay far below 2^52")]
fn outcome_of(feedback: &ParameterFeedbackRecorded) -> Outcome {
    let latency = feedback.latency.and_then(|latency| Duration::try_from(latency).ok());
    Outcome {
        reward: feedback.reward,
        latency_s: latency.map(|latency| latency.as_secs_f64()),
        cost_micro_usd: feedback.usage.map(|usage| usage.cost_micro_usd as f64),
    }
}

/// Which request it is: neither part can hold the separator.
fn request_of(tenant: &str, request_id: &str) -> Fingerprint {
    fingerprint(format!("{tenant}/{request_id}").as_bytes())
}

/// What feedback says, whatever the order of its map and however it names the arm.
fn content_of(feedback: &ParameterFeedbackRecorded) -> Fingerprint {
    let mut features: Vec<_> = feedback.features.iter().collect();
    features.sort_by_key(|(name, _)| *name);
    let mut plain = feedback.clone();
    plain.features.clear();
    if let Some(arm) = &mut plain.arm {
        arm.parameters = None;
    }
    let mut bytes = plain.encode_length_delimited_to_vec();
    for (name, value) in features {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    fingerprint(&bytes)
}

fn fingerprint(bytes: &[u8]) -> Fingerprint {
    let hash = digest(&SHA256, bytes);
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}
