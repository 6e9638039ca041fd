//! A record of what happened lately, of bounded size, that can be waited on.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// A tenant and a name within it.
pub type Key = (String, String);

/// The last entries made, by their keys.
#[derive(Debug)]
pub struct Ledger<V> {
    keep: usize,
    entries: Mutex<Entries<V>>,
    changed: Notify,
}

#[derive(Debug)]
struct Entries<V> {
    by_key: HashMap<Key, V>,
    /// The keys, oldest first.
    order: VecDeque<Key>,
}

impl<V: Clone> Ledger<V> {
    /// A ledger of the last `keep` entries.
    pub fn new(keep: usize) -> Self {
        let entries = Entries { by_key: HashMap::new(), order: VecDeque::new() };
        Self { keep, entries: Mutex::new(entries), changed: Notify::new() }
    }

    /// Makes or replaces an entry, given the one before.
    pub fn enter(&self, key: Key, value: impl FnOnce(Option<&V>) -> V) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let value = value(entries.by_key.get(&key));
        if entries.by_key.insert(key.clone(), value).is_none() {
            entries.order.push_back(key);
        }
        if entries.order.len() > self.keep
            && let Some(oldest) = entries.order.pop_front()
        {
            entries.by_key.remove(&oldest);
        }
        drop(entries);
        self.changed.notify_waiters();
    }

    /// Waits until there is an entry. Whoever calls bounds the time.
    pub async fn wait(&self, key: &Key) -> V {
        loop {
            // Before the look, so that no change falls between the two.
            let changed = self.changed.notified();
            if let Some(value) = self.get(key) {
                return value;
            }
            changed.await;
        }
    }

    /// The entry, if there is one.
    pub fn get(&self, key: &Key) -> Option<V> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).by_key.get(key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn key(name: &str) -> Key {
        ("acme".to_owned(), name.to_owned())
    }

    #[test]
    fn ledger_keeps_the_last_entries_only() {
        let ledger = Ledger::new(3);
        for n in 0..10 {
            ledger.enter(key(&n.to_string()), |_| n);
        }
        assert_eq!((0..10).filter_map(|n| ledger.get(&key(&n.to_string()))).collect::<Vec<_>>(), [7, 8, 9]);
    }

    #[test]
    fn ledger_entry_can_grow_from_the_one_before() {
        let ledger = Ledger::new(3);
        for _ in 0..5 {
            ledger.enter(key("a"), |before| before.map_or(1, |n| n + 1));
        }
        assert_eq!(ledger.get(&key("a")), Some(5));
    }

    #[tokio::test]
    async fn ledger_wait_ends_with_the_entry() {
        let ledger = Arc::new(Ledger::new(3));
        let waiting = tokio::spawn({
            let ledger = ledger.clone();
            async move { ledger.wait(&key("b")).await }
        });
        tokio::task::yield_now().await;
        ledger.enter(key("a"), |_| 1);
        ledger.enter(key("b"), |_| 2);
        assert_eq!(waiting.await.unwrap(), 2);
        assert_eq!(ledger.wait(&key("b")).await, 2);
    }
}
