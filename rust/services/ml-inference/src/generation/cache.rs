//! Which sequence of the key-value cache holds which tokens, and what may be given up for others.
//!
//! All sequences share the cells of one cache (llama.cpp's unified cache). What a slot holds is kept after its text has ended, for
//! a later prompt with the same beginning, until its cells are needed.

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held<T> {
    tokens: Vec<T>,
    busy: bool,
    /// Number of the last use; the least is given up first.
    used: u64,
}

/// The slots of a cache.
#[derive(Debug)]
pub struct Cache<T> {
    cells: usize,
    uses: u64,
    slots: Vec<Held<T>>,
}

/// Where a prompt goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// The slot, busy from now on.
    pub slot: usize,
    /// Tokens at the beginning of the prompt that the cache holds already.
    pub reused: usize,
    /// The slot whose cells are to be shared for them; `None` where it is the slot itself.
    pub donor: Option<usize>,
}

/// Fewer tokens than this are read anew as fast as they are looked up.
const LEAST_REUSE: usize = 16;

impl<T: Copy + PartialEq> Cache<T> {
    /// An empty cache.
    pub fn new(slots: usize, cells: usize) -> Self {
        let slot = Held { tokens: Vec::new(), busy: false, used: 0 };
        Self { cells, uses: 0, slots: vec![slot; slots] }
    }

    /// Cells of the cache.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Cells in use; shared ones count for each slot that holds them, so there may be fewer.
    pub fn used(&self) -> usize {
        self.slots.iter().map(|slot| slot.tokens.len()).sum()
    }

    /// Tokens that a slot holds.
    pub fn held(&self, slot: usize) -> usize {
        self.slots.get(slot).map_or(0, |held| held.tokens.len())
    }

    /// Whether a slot is free.
    pub fn has_room(&self) -> bool {
        self.slots.iter().any(|slot| !slot.busy)
    }

    /// Whether no slot is busy.
    pub fn is_idle(&self) -> bool {
        self.slots.iter().all(|slot| !slot.busy)
    }

    /// Finds a slot for a prompt, the one with most of its beginning; `None` when all are busy. At least the prompt's last token
    /// is left to be read, since its logits are needed. Without `reuse` the slot begins empty.
    pub fn place(&mut self, prompt: &[T], reuse: bool) -> Option<Place> {
        let free = |(index, slot): (usize, &Held<T>)| (!slot.busy).then_some((slot.tokens.len(), slot.used, index));
        // The emptiest, then the one unused for longest.
        let (_, _, emptiest) =
            self.slots.iter().enumerate().filter_map(free).min_by_key(|(length, used, _)| (*length > 0, *used))?;
        let shared = |slot: &Held<T>| slot.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let most = prompt.len().saturating_sub(1);
        let best = self
            .slots
            .iter()
            .enumerate()
            .map(|(index, slot)| (shared(slot).min(most), !slot.busy, index))
            .max()
            .filter(|(length, _, _)| reuse && *length >= LEAST_REUSE);
        let (slot, reused, donor) = match best {
            // A slot whose rest is worth more than a quarter of what it shares keeps it, and lends its beginning.
            Some((length, true, index)) if self.held(index) <= length + length / 4 => (index, length, None),
            Some((length, _, index)) if index == emptiest => (index, length, None),
            Some((length, _, index)) => (emptiest, length, Some(index)),
            None => (emptiest, 0, None),
        };
        self.uses += 1;
        if let Some(held) = self.slots.get_mut(slot) {
            held.tokens.clear();
            held.tokens.extend_from_slice(prompt.get(..reused).unwrap_or_default());
            held.busy = true;
            held.used = self.uses;
        }
        Some(Place { slot, reused, donor })
    }

    /// Notes tokens whose cells were written.
    pub fn extend(&mut self, slot: usize, tokens: &[T]) {
        if let Some(held) = self.slots.get_mut(slot) {
            held.tokens.extend_from_slice(tokens);
        }
    }

    /// Ends a slot's text; what it holds stays until its cells are needed.
    pub fn release(&mut self, slot: usize) {
        self.uses += 1;
        if let Some(held) = self.slots.get_mut(slot) {
            held.busy = false;
            held.used = self.uses;
        }
    }

    /// Empties a slot, busy or not. Its cells must be cleared too.
    pub fn clear(&mut self, slot: usize) {
        if let Some(held) = self.slots.get_mut(slot) {
            held.tokens.clear();
        }
    }

    /// The slot that is not busy, holds something, and was unused for longest.
    pub fn least_useful(&self) -> Option<usize> {
        let holding = self.slots.iter().enumerate().filter(|(_, slot)| !slot.busy && !slot.tokens.is_empty());
        holding.min_by_key(|(_, slot)| slot.used).map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(range: std::ops::Range<u32>) -> Vec<u32> {
        range.collect()
    }

    /// Places a prompt and writes all of it.
    fn fill(cache: &mut Cache<u32>, prompt: &[u32]) -> Place {
        let place = cache.place(prompt, true).unwrap();
        cache.extend(place.slot, &prompt[place.reused..]);
        place
    }

    #[test]
    fn cache_reuses_the_same_prompt_but_its_last_token() {
        let mut cache = Cache::new(2, 100);
        let first = fill(&mut cache, &prompt(0..40));
        assert_eq!(first, Place { slot: first.slot, reused: 0, donor: None });
        cache.release(first.slot);
        assert_eq!(cache.place(&prompt(0..40), true), Some(Place { slot: first.slot, reused: 39, donor: None }));
    }

    #[test]
    fn cache_shares_the_beginning_of_a_busy_slot() {
        let mut cache = Cache::new(2, 100);
        let first = fill(&mut cache, &prompt(0..40));
        let second = cache.place(&[prompt(0..30), prompt(80..90)].concat(), true).unwrap();
        assert_eq!((second.reused, second.donor), (30, Some(first.slot)));
        assert_ne!(second.slot, first.slot);
        assert_eq!(cache.place(&prompt(0..40), true), None);
    }

    #[test]
    fn cache_reuses_nothing_short_and_nothing_unwanted() {
        let mut cache = Cache::new(2, 100);
        let first = fill(&mut cache, &prompt(0..40));
        cache.release(first.slot);
        let short = cache.place(&[prompt(0..10), prompt(60..90)].concat(), true).unwrap();
        assert_eq!((short.reused, short.donor), (0, None));
        assert_ne!(short.slot, first.slot);
        cache.release(short.slot);
        cache.clear(short.slot);
        assert_eq!(cache.place(&prompt(0..40), false).unwrap().reused, 0);
    }

    #[test]
    fn cache_keeps_a_long_rest_and_lends_its_beginning() {
        let mut cache = Cache::new(3, 1000);
        let first = fill(&mut cache, &prompt(0..400));
        cache.release(first.slot);
        let second = cache.place(&[prompt(0..100), prompt(900..950)].concat(), true).unwrap();
        assert_eq!((second.reused, second.donor), (100, Some(first.slot)));
        assert_eq!(cache.held(first.slot), 400);
    }

    #[test]
    fn cache_gives_up_what_was_unused_for_longest() {
        let mut cache = Cache::new(3, 100);
        let places: Vec<_> = [0..20, 30..50, 60..80].map(|range| fill(&mut cache, &prompt(range)).slot).into();
        for slot in [places[1], places[0]] {
            cache.release(slot);
        }
        assert_eq!(cache.used(), 60);
        assert_eq!(cache.least_useful(), Some(places[1]));
        cache.clear(places[1]);
        assert_eq!(cache.least_useful(), Some(places[0]));
        cache.clear(places[0]);
        assert_eq!((cache.least_useful(), cache.used()), (None, 20));
    }
}
