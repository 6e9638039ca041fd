//! What attempts used, and what a search may use.

use std::time::Duration;

/// What a piece of work used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read.
    pub input_tokens: i64,
    /// Of those, from a cache.
    pub cached_input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
    /// Of those, of hidden thought.
    pub reasoning_tokens: i64,
    /// Calls of models.
    pub calls: i32,
    /// Millionths of a US dollar.
    pub cost_micro_usd: i64,
}

impl Usage {
    /// Adds up, field by field; what does not fit stays at the most that does.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cached_input_tokens: self.cached_input_tokens.saturating_add(other.cached_input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            calls: self.calls.saturating_add(other.calls),
            cost_micro_usd: self.cost_micro_usd.saturating_add(other.cost_micro_usd),
        }
    }

    /// Whether no field is below zero.
    pub fn is_sound(self) -> bool {
        self.input_tokens >= 0
            && self.cached_input_tokens >= 0
            && self.output_tokens >= 0
            && self.reasoning_tokens >= 0
            && self.calls >= 0
            && self.cost_micro_usd >= 0
    }
}

/// What a search may use; an absent limit does not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Attempts.
    pub max_nodes: Option<u32>,
    /// Input and output tokens together.
    pub max_tokens: Option<i64>,
    /// Millionths of a US dollar.
    pub max_cost_micro_usd: Option<i64>,
    /// Time since the search's creation.
    pub max_wall_time: Option<Duration>,
}

/// A limit of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Attempts.
    Nodes,
    /// Tokens.
    Tokens,
    /// Money.
    Cost,
    /// Time.
    WallTime,
}

impl Budget {
    /// The limit on tokens or money that some usage reaches.
    pub fn reached(&self, used: Usage) -> Option<Limit> {
        let tokens = used.input_tokens.saturating_add(used.output_tokens);
        if self.max_tokens.is_some_and(|most| tokens >= most) {
            return Some(Limit::Tokens);
        }
        // A budget of nothing buys what costs nothing, for as long as that is so.
        self.max_cost_micro_usd.is_some_and(|most| used.cost_micro_usd >= most.max(1)).then_some(Limit::Cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_counts_tokens_both_ways_and_money() {
        let used = |tokens, cost| Usage {
            input_tokens: tokens,
            output_tokens: tokens,
            cost_micro_usd: cost,
            ..Usage::default()
        };
        let tokens = Budget { max_tokens: Some(100), ..Budget::default() };
        assert_eq!(
            [49, 50, i64::MAX].map(|t| tokens.reached(used(t, 0))),
            [None, Some(Limit::Tokens), Some(Limit::Tokens)]
        );
        let cost = Budget { max_cost_micro_usd: Some(5), ..Budget::default() };
        assert_eq!([4, 5].map(|c| cost.reached(used(0, c))), [None, Some(Limit::Cost)]);
        let free = Budget { max_cost_micro_usd: Some(0), ..Budget::default() };
        assert_eq!([0, 1].map(|c| free.reached(used(1_000_000, c))), [None, Some(Limit::Cost)]);
        assert_eq!(Budget::default().reached(used(i64::MAX, i64::MAX)), None);
    }
}
