//! Which events were handled lately, so that a second delivery is not handled again.

use std::collections::{HashMap, VecDeque};

/// How far an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not seen, or failed.
    Fresh,
    /// A delivery of it is being handled.
    Running,
    /// It was handled.
    Done,
}

/// Ids of the events being handled, and of the last ones that were.
#[derive(Debug)]
pub(super) struct Handled {
    progress: HashMap<String, Progress>,
    done: VecDeque<String>,
    keep: usize,
}

impl Handled {
    /// Remembers the last `keep` events.
    pub(super) fn new(keep: usize) -> Self {
        Self { progress: HashMap::new(), done: VecDeque::new(), keep }
    }

    /// How far the event is; a fresh one counts as running from now on.
    pub(super) fn begin(&mut self, id: &str) -> Progress {
        let before = self.progress.get(id).copied().unwrap_or(Progress::Fresh);
        if before == Progress::Fresh {
            self.progress.insert(id.to_owned(), Progress::Running);
        }
        before
    }

    /// Counts a running event as done, or as fresh again.
    pub(super) fn end(&mut self, id: &str, handled: bool) {
        if !handled {
            self.progress.remove(id);
            return;
        }
        self.progress.insert(id.to_owned(), Progress::Done);
        self.done.push_back(id.to_owned());
        if self.done.len() > self.keep
            && let Some(oldest) = self.done.pop_front()
        {
            self.progress.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handled_event_is_done_and_a_failed_one_fresh_again() {
        let mut handled = Handled::new(10);
        assert_eq!(handled.begin("a"), Progress::Fresh);
        assert_eq!(handled.begin("a"), Progress::Running);
        handled.end("a", false);
        assert_eq!(handled.begin("a"), Progress::Fresh);
        handled.end("a", true);
        assert_eq!(handled.begin("a"), Progress::Done);
    }

    #[test]
    fn handled_memory_is_bounded() {
        let mut handled = Handled::new(100);
        for n in 0..1000 {
            assert_eq!(handled.begin(&n.to_string()), Progress::Fresh);
            handled.end(&n.to_string(), true);
        }
        assert_eq!((handled.progress.len(), handled.done.len()), (100, 100));
        assert_eq!((handled.begin("999"), handled.begin("0")), (Progress::Done, Progress::Fresh));
    }
}
