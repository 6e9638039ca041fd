//! Who waits for a slot: higher priority first, then who came first.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A bounded queue.
#[derive(Debug)]
pub struct Queue<T> {
    limit: usize,
    arrivals: u64,
    heap: BinaryHeap<Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    priority: i32,
    arrival: u64,
    item: T,
}

impl<T> Queue<T> {
    /// An empty queue of at most `limit` items.
    pub fn new(limit: usize) -> Self {
        Self { limit, arrivals: 0, heap: BinaryHeap::new() }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Puts an item behind those of its priority.
    ///
    /// # Errors
    /// The item, when as many wait as may.
    pub fn push(&mut self, priority: i32, item: T) -> Result<(), T> {
        if self.heap.len() >= self.limit {
            return Err(item);
        }
        self.arrivals += 1;
        self.heap.push(Waiting { priority, arrival: self.arrivals, item });
        Ok(())
    }

    /// Takes the next.
    pub fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|waiting| waiting.item)
    }

    /// Keeps those only that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.heap.retain(|waiting| keep(&waiting.item));
    }
}

impl<T> Ord for Waiting<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.priority.cmp(&other.priority).then(other.arrival.cmp(&self.arrival))
    }
}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Waiting<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_serves_by_priority_then_by_arrival() {
        let mut queue = Queue::new(9);
        for (priority, item) in [(0, "a"), (5, "b"), (0, "c"), (-5, "d"), (5, "e")] {
            queue.push(priority, item).unwrap();
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["b", "e", "a", "c", "d"]);
    }

    #[test]
    fn queue_at_its_limit_refuses() {
        let mut queue = Queue::new(1);
        assert_eq!(queue.push(0, "a"), Ok(()));
        assert_eq!(queue.push(100, "b"), Err("b"));
        queue.retain(|item| *item != "a");
        assert!(queue.is_empty());
        assert_eq!(queue.push(0, "c"), Ok(()));
    }
}
