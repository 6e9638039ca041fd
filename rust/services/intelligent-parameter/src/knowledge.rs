//! What all feedback of all tenants adds up to, with the answers that it was given.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use crate::bandit::{Bandit, Belief, HalfLife, Outcome};
use crate::posterior::Family;

/// How long a request's answer is remembered, by the clocks that gave the feedback.
pub const REMEMBERED: Duration = Duration::from_hours(24);

/// A tenant's request, or what it asked for, by its hash.
pub type Fingerprint = [u8; 16];

/// Feedback as it was stored.
#[derive(Debug, Clone)]
pub struct Feedback<'a, P> {
    /// Of the tenant and the request's id.
    pub request: Fingerprint,
    /// Of everything that the request says.
    pub content: Fingerprint,
    /// When it was given.
    pub time: SystemTime,
    /// Whose it is.
    pub tenant: &'a str,
    /// Kind of task.
    pub task_type: &'a str,
    /// The arm.
    pub arm_id: &'a str,
    /// Its parameters.
    pub parameters: P,
    /// How it did.
    pub outcome: Outcome,
}

/// What a request was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<P> {
    /// What had been asked.
    pub content: Fingerprint,
    /// Parameters of the arm.
    pub parameters: P,
    /// What was believed of it then.
    pub belief: Belief,
}

/// Every tenant's bandits.
#[derive(Debug)]
pub struct Knowledge<P> {
    half_life: HalfLife,
    /// By tenant, by task type.
    bandits: HashMap<String, BTreeMap<String, Bandit<P>>>,
    answers: HashMap<Fingerprint, Answer<P>>,
    /// When the answers were given, oldest first.
    given: VecDeque<(SystemTime, Fingerprint)>,
}

impl<P: Clone> Knowledge<P> {
    /// Before any feedback.
    pub fn new(half_life: HalfLife) -> Self {
        Self { half_life, bandits: HashMap::new(), answers: HashMap::new(), given: VecDeque::new() }
    }

    /// Learns from feedback and remembers its answer. A request that is remembered changes nothing.
    pub fn learn(&mut self, feedback: Feedback<'_, P>) {
        self.forget_before(feedback.time);
        if self.answers.contains_key(&feedback.request) {
            return;
        }
        let of_tenant = self.bandits.entry(feedback.tenant.to_owned()).or_default();
        let half_life = self.half_life;
        let bandit = of_tenant.entry(feedback.task_type.to_owned()).or_insert_with(|| Bandit::new(half_life));
        bandit.record(feedback.arm_id, || feedback.parameters.clone(), &feedback.outcome);
        let belief = bandit.belief(feedback.arm_id);
        let answer = Answer { content: feedback.content, parameters: feedback.parameters, belief };
        self.answers.insert(feedback.request, answer);
        self.given.push_back((feedback.time, feedback.request));
    }

    /// The answer that a request was given.
    pub fn answer(&self, request: &Fingerprint) -> Option<&Answer<P>> {
        self.answers.get(request)
    }

    /// The bandit of a task type, once there was feedback.
    pub fn bandit(&self, tenant: &str, task_type: &str) -> Option<&Bandit<P>> {
        self.bandits.get(tenant)?.get(task_type)
    }

    /// What is believed of an arm.
    pub fn belief(&self, tenant: &str, task_type: &str, arm_id: &str) -> Belief {
        let bandit = self.bandit(tenant, task_type);
        bandit.map_or_else(|| Belief::prior(Family::Bernoulli), |bandit| bandit.belief(arm_id))
    }

    /// Parameters of an arm that the tenant knows, in whichever task type.
    pub fn parameters(&self, tenant: &str, arm_id: &str) -> Option<&P> {
        self.bandits.get(tenant)?.values().find_map(|bandit| bandit.parameters(arm_id))
    }

    /// Forgets answers by the newest feedback's time, so that a replay forgets the same ones.
    fn forget_before(&mut self, now: SystemTime) {
        while let Some((given, request)) = self.given.front()
            && now.duration_since(*given).is_ok_and(|age| age > REMEMBERED)
        {
            self.answers.remove(request);
            self.given.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feedback(tenant: &str, request: u8, hours: u64, reward: f64) -> Feedback<'_, &'static str> {
        Feedback {
            request: [request; 16],
            content: [0; 16],
            time: SystemTime::UNIX_EPOCH + Duration::from_hours(hours),
            tenant,
            task_type: "general",
            arm_id: "arm",
            parameters: "its parameters",
            outcome: Outcome { reward, latency_s: None, cost_micro_usd: None },
        }
    }

    fn knowledge() -> Knowledge<&'static str> {
        Knowledge::new(HalfLife::of_feedbacks(1000))
    }

    #[test]
    fn feedback_of_a_request_counts_once_and_keeps_its_first_answer() {
        let mut knowledge = knowledge();
        knowledge.learn(feedback("acme", 1, 0, 1.0));
        let first = knowledge.answer(&[1; 16]).unwrap().clone();
        knowledge.learn(feedback("acme", 2, 0, 0.0));
        knowledge.learn(feedback("acme", 1, 0, 1.0));
        assert_eq!(knowledge.answer(&[1; 16]), Some(&first));
        assert!((knowledge.belief("acme", "general", "arm").observations - 2.0).abs() < 0.01);
    }

    #[test]
    fn answer_is_forgotten_after_a_day_and_not_before() {
        let mut knowledge = knowledge();
        knowledge.learn(feedback("acme", 1, 0, 1.0));
        knowledge.learn(feedback("acme", 2, 24, 1.0));
        assert!(knowledge.answer(&[1; 16]).is_some());
        knowledge.learn(feedback("acme", 3, 25, 1.0));
        assert!(knowledge.answer(&[1; 16]).is_none() && knowledge.answer(&[2; 16]).is_some());
    }

    #[test]
    fn arm_of_another_tenant_is_not_known_and_nothing_is_believed_of_it() {
        let mut knowledge = knowledge();
        knowledge.learn(feedback("acme", 1, 0, 1.0));
        assert_eq!(knowledge.parameters("acme", "arm"), Some(&"its parameters"));
        assert_eq!(knowledge.parameters("globex", "arm"), None);
        assert!(knowledge.bandit("globex", "general").is_none());
        assert_eq!(knowledge.belief("globex", "general", "arm"), Belief::prior(Family::Bernoulli));
        assert_eq!(knowledge.belief("acme", "code", "arm"), Belief::prior(Family::Bernoulli));
    }
}
