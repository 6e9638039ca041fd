//! The first answers to requests by their request_id, for a service without a store.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::error::Error;

/// How long an answer is remembered (proto/README.md, Idempotency).
const KEPT: Duration = Duration::from_mins(10);

/// Whose request it is, of which RPC, with which id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The tenant.
    pub tenant: String,
    /// The RPC's name.
    pub rpc: &'static str,
    /// The request's id.
    pub request_id: String,
}

/// Answers that are remembered.
#[derive(Debug)]
pub struct Repeats<A> {
    first: Mutex<HashMap<Key, Arc<First<A>>>>,
}

#[derive(Debug)]
struct First<A> {
    came: Instant,
    request: String,
    answer: OnceCell<A>,
}

impl<A> Default for Repeats<A> {
    fn default() -> Self {
        Self { first: Mutex::default() }
    }
}

impl<A: Clone> Repeats<A> {
    /// Does the work once: a repeat joins it, or gets its answer. A failure is not remembered. `request` is what else the request
    /// says, by which another one of the same id is known.
    ///
    /// # Errors
    /// The work failed, or the id was used for another request.
    pub async fn once<F>(&self, key: Key, request: &str, now: Instant, work: F) -> Result<A, Error>
    where
        F: Future<Output = Result<A, Error>>,
    {
        let id = key.request_id.clone();
        let first = {
            let mut all = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, first| now.saturating_duration_since(first.came) < KEPT);
            let fresh = || First { came: now, request: request.to_owned(), answer: OnceCell::new() };
            all.entry(key).or_insert_with(|| Arc::new(fresh())).clone()
        };
        if first.request != request {
            return Err(Error::RequestIdReused(id));
        }
        first.answer.get_or_try_init(|| work).await.cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    fn key(tenant: &str) -> Key {
        Key { tenant: tenant.to_owned(), rpc: "LoadModel", request_id: "r1".to_owned() }
    }

    #[tokio::test]
    async fn repeat_gets_the_first_answer_of_its_tenant_for_ten_minutes() {
        let (repeats, done, now) = (Repeats::default(), AtomicUsize::new(0), Instant::now());
        let work = || async { Ok(done.fetch_add(1, Relaxed)) };
        assert_eq!(repeats.once(key("a"), "m", now, work()).await.unwrap(), 0);
        assert_eq!(repeats.once(key("a"), "m", now, work()).await.unwrap(), 0);
        assert_eq!(repeats.once(key("b"), "m", now, work()).await.unwrap(), 1);
        assert_eq!(repeats.once(key("a"), "m", now + KEPT, work()).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn repeat_of_another_request_is_refused() {
        let (repeats, now) = (Repeats::default(), Instant::now());
        repeats.once(key("a"), "m", now, async { Ok(1) }).await.unwrap();
        let error = repeats.once(key("a"), "n", now, async { Ok(2) }).await.unwrap_err();
        assert!(matches!(error, Error::RequestIdReused(id) if id == "r1"));
    }

    #[tokio::test]
    async fn repeat_of_a_failure_tries_again() {
        let (repeats, now) = (Repeats::default(), Instant::now());
        let fail = async { Err(Error::PageToken) };
        repeats.once(key("a"), "m", now, fail).await.unwrap_err();
        assert_eq!(repeats.once(key("a"), "m", now, async { Ok(2) }).await.unwrap(), 2);
    }
}
