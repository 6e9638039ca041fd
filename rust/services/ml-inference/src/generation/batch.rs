//! What is computed in one step: a token of each text that is being written, and parts of prompts with what room is left.

/// A text as the plan sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Which it is.
    pub index: usize,
    /// Number of its admission: the lower the older.
    pub order: u64,
    /// Tokens that are not in the cache yet: at least one.
    pub tokens: usize,
    /// Whether it waits for cells.
    pub paused: bool,
}

/// What to read of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which it is.
    pub index: usize,
    /// How many of its next tokens.
    pub tokens: usize,
}

/// A step, or what is in its way.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// Read these.
    Read(Vec<Share>),
    /// There are no cells even for one token of each: take those of this text, the youngest.
    Pause(usize),
    /// Nothing is to be done.
    Nothing,
}

/// Most tokens of prompts in a step in which other texts are being written, so that those go on.
const BESIDE_WRITING: usize = 128;

/// Plans a step of at most `size` tokens with `cells` free cells.
pub fn plan(pending: &[Pending], size: usize, cells: usize) -> Plan {
    let mut active: Vec<&Pending> = pending.iter().filter(|text| !text.paused).collect();
    active.sort_by_key(|text| text.order);
    let Some(youngest) = active.last() else { return Plan::Nothing };
    let writing = active.iter().filter(|text| text.tokens == 1).count();
    let reading = active.len() - writing;
    // Texts that are read need a cell too, or all could stand still for ever with half of their prompts in the cache.
    if writing + usize::from(reading > 0) > cells {
        return Plan::Pause(youngest.index);
    }
    let most = if writing > 0 { BESIDE_WRITING.min(size - writing.min(size)) } else { size };
    let mut room = most.min(cells - writing);
    let mut shares = Vec::with_capacity(active.len());
    for text in active {
        let tokens = if text.tokens == 1 { 1 } else { text.tokens.min(room) };
        if text.tokens > 1 {
            room -= tokens;
        }
        if tokens > 0 {
            shares.push(Share { index: text.index, tokens });
        }
    }
    Plan::Read(shares)
}

/// The paused text to go on with: the oldest, once there are cells for all of it and some more.
pub fn to_resume(pending: &[Pending], cells: usize) -> Option<usize> {
    let nobody_active = pending.iter().all(|text| text.paused);
    let oldest = pending.iter().filter(|text| text.paused).min_by_key(|text| text.order)?;
    (nobody_active || oldest.tokens + BESIDE_WRITING <= cells).then_some(oldest.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(tokens: &[usize]) -> Vec<Pending> {
        (0..)
            .zip(tokens)
            .map(|(index, tokens)| Pending { index, order: index as u64, tokens: *tokens, paused: false })
            .collect()
    }

    fn shares(plan: Plan) -> Vec<(usize, usize)> {
        match plan {
            Plan::Read(shares) => shares.into_iter().map(|share| (share.index, share.tokens)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn plan_reads_a_lone_prompt_in_whole_batches() {
        assert_eq!(shares(plan(&texts(&[1200]), 512, 4096)), [(0, 512)]);
        assert_eq!(shares(plan(&texts(&[300, 300]), 512, 4096)), [(0, 300), (1, 212)]);
    }

    #[test]
    fn plan_writes_a_token_of_each_and_reads_a_little_beside() {
        assert_eq!(shares(plan(&texts(&[1, 1000, 1]), 512, 4096)), [(0, 1), (1, 128), (2, 1)]);
    }

    #[test]
    fn plan_without_cells_pauses_the_youngest() {
        assert_eq!(plan(&texts(&[1, 1, 1]), 512, 2), Plan::Pause(2));
        assert_eq!(plan(&texts(&[1, 500]), 512, 1), Plan::Pause(1));
        assert_eq!(shares(plan(&texts(&[1, 500]), 512, 11)), [(0, 1), (1, 10)]);
    }

    #[test]
    fn plan_of_paused_texts_waits_for_room() {
        let mut all = texts(&[50, 200]);
        all[1].paused = true;
        assert_eq!(shares(plan(&all, 512, 4096)), [(0, 50)]);
        assert_eq!(to_resume(&all, 300), None);
        assert_eq!(to_resume(&all, 328), Some(1));
        all[0].paused = true;
        assert_eq!(plan(&all, 512, 4096), Plan::Nothing);
        assert_eq!(to_resume(&all, 0), Some(0));
    }
}
