//! The arms that were suggested lately, so that feedback may name them by id before they are known.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most arms that are kept.
const KEPT: usize = 10_000;

/// A tenant and an arm's id.
type Key = (String, String);

/// The last arms suggested, of this process only.
#[derive(Debug)]
pub struct Suggested<P>(Mutex<Arms<P>>);

#[derive(Debug)]
struct Arms<P> {
    parameters: HashMap<Key, P>,
    /// The oldest first.
    order: VecDeque<Key>,
}

impl<P: Clone> Default for Suggested<P> {
    fn default() -> Self {
        Self(Mutex::new(Arms { parameters: HashMap::new(), order: VecDeque::new() }))
    }
}

impl<P: Clone> Suggested<P> {
    /// Keeps an arm in mind.
    pub fn note(&self, tenant: &str, arm_id: &str, parameters: &P) {
        let key = (tenant.to_owned(), arm_id.to_owned());
        let mut arms = self.arms();
        if arms.parameters.insert(key.clone(), parameters.clone()).is_none() {
            arms.order.push_back(key);
        }
        if arms.order.len() > KEPT
            && let Some(oldest) = arms.order.pop_front()
        {
            arms.parameters.remove(&oldest);
        }
    }

    /// The parameters of an arm that was suggested to the tenant.
    pub fn parameters(&self, tenant: &str, arm_id: &str) -> Option<P> {
        self.arms().parameters.get(&(tenant.to_owned(), arm_id.to_owned())).cloned()
    }

    fn arms(&self) -> MutexGuard<'_, Arms<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggested_arms_are_kept_by_tenant_until_there_are_too_many() {
        let suggested = Suggested::default();
        for n in 0..=KEPT {
            suggested.note("acme", &n.to_string(), &n);
            suggested.note("acme", &n.to_string(), &n);
        }
        assert_eq!(suggested.parameters("acme", "0"), None);
        assert_eq!(suggested.parameters("acme", "1"), Some(1));
        assert_eq!(suggested.parameters("globex", "1"), None);
    }
}
