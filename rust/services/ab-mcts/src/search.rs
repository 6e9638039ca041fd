//! One search: what was asked and told so far, and what that allows next. It changes by facts alone; the moment, where one
//! matters, is passed in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;

use crate::attempt::{Ask, Fate, Node, Taken};
use crate::error::Error;
use crate::fact::{Asked, Fact, Outcome};
use crate::history::{Change, Ended, Standing, What};
use crate::spec::Spec;
use crate::tree::{Pending, ROOT, Tree};
use crate::usage::{Limit, Usage};

/// Name of the root.
pub const ROOT_ID: &str = "root";

/// A search.
#[derive(Debug)]
pub struct Search {
    /// Its id.
    pub id: String,
    /// The request that created it.
    pub request_id: String,
    /// What it is.
    pub spec: Spec,
    /// When it was created.
    pub create_time: SystemTime,
    update_time: SystemTime,
    tree: Tree,
    pending: Pending,
    /// Scored nodes by their place in the tree; the root's place is taken by nothing.
    nodes: Vec<Node>,
    /// By their number less one.
    asks: Vec<Ask>,
    /// Expiry and number of those that wait.
    waiting: BTreeSet<(SystemTime, usize)>,
    failed: u32,
    usage: Usage,
    best: Option<usize>,
    ended: Option<Ended>,
    requests: HashMap<String, Request>,
    history: Vec<Change>,
}

/// A request whose repeat gets the same answer.
#[derive(Debug, PartialEq)]
enum Request {
    Ask { count: u32, asks: Vec<usize> },
    Feedback { node_id: String, reward: f64, comment: String },
}

impl Search {
    /// A search without attempts.
    pub fn new(
        id: String,
        request_id: String,
        spec: Spec,
        taught: &BTreeMap<String, f64>,
        create_time: SystemTime,
    ) -> Self {
        let tree = Tree::new(spec.prior(), spec.action_priors(taught), spec.max_depth());
        let mut search = Self {
            id,
            request_id,
            spec,
            create_time,
            update_time: create_time,
            tree,
            pending: Pending::default(),
            nodes: Vec::new(),
            asks: Vec::new(),
            waiting: BTreeSet::new(),
            failed: 0,
            usage: Usage::default(),
            best: None,
            ended: None,
            requests: HashMap::new(),
            history: Vec::new(),
        };
        search.note(create_time, |standing| What::Created(Box::new(standing)));
        search
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        Standing {
            ended: self.ended,
            nodes: self.nodes.len(),
            failed: self.failed,
            pending: self.waiting.len(),
            usage: self.usage,
            best: self.best,
            sequence: self.history.len() as u64,
            update_time: self.update_time,
        }
    }

    /// The beliefs that choose.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Scored nodes with their places in the tree, in the order of tells.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().map(|(at, node)| (at + 1, node))
    }

    /// The node at a place in the tree; `None` for the root.
    pub fn node(&self, place: usize) -> Option<&Node> {
        self.nodes.get(place.checked_sub(1)?)
    }

    /// Place of a node in the tree.
    ///
    /// # Errors
    /// No such node, or the root.
    pub fn place(&self, node_id: &str) -> Result<usize, Error> {
        if node_id == ROOT_ID {
            return Err(Error::Root);
        }
        let ask = node_id.strip_prefix('n').and_then(|number| number.parse().ok()).and_then(|number| self.ask(number));
        match ask.map(|ask| &ask.fate) {
            Some(Fate::Scored(place)) if self.node(*place).is_some_and(|node| node.id == node_id) => Ok(*place),
            _ => Err(Error::NoNode { id: node_id.to_owned() }),
        }
    }

    /// An ask by its number, from 1.
    pub fn ask(&self, number: usize) -> Option<&Ask> {
        self.asks.get(number.checked_sub(1)?)
    }

    /// Number of an ask of this search.
    pub fn ask_number(&self, ask_id: &str) -> Option<usize> {
        let number = ask_id.rsplit_once('-')?.1.parse().ok()?;
        self.ask(number).filter(|ask| ask.id == ask_id).map(|_| number)
    }

    /// What happened after a number in the history, with its number.
    pub fn changes(&self, after: u64) -> impl Iterator<Item = (u64, &Change)> {
        let skipped = usize::try_from(after).unwrap_or(usize::MAX).min(self.history.len());
        (after + 1..).zip(&self.history[skipped..])
    }

    /// Whether nothing can happen any more but feedback.
    pub fn is_over(&self) -> bool {
        self.ended.is_some() && self.waiting.is_empty()
    }

    /// The next moment at which something is given up or over.
    pub fn due(&self) -> Option<SystemTime> {
        let expiry = self.waiting.first().map(|(time, _)| *time);
        expiry.into_iter().chain(self.wall_end().filter(|_| self.ended.is_none())).min()
    }

    fn wall_end(&self) -> Option<SystemTime> {
        self.create_time.checked_add(self.spec.budget.as_ref()?.max_wall_time?)
    }

    /// What the passing of time has brought about by `now`.
    pub fn lapse(&self, now: SystemTime) -> Vec<Fact> {
        let ask_ids: Vec<String> = self
            .waiting
            .iter()
            .take_while(|(time, _)| *time <= now)
            .filter_map(|(_, n)| Some(self.ask(*n)?.id.clone()))
            .collect();
        let mut facts = Vec::new();
        if !ask_ids.is_empty() {
            facts.push(Fact::Expired { ask_ids });
        }
        if self.ended.is_none() && self.wall_end().is_some_and(|end| end <= now) {
            facts.push(Fact::Ended);
        }
        facts
    }

    /// Decides what to try next: the facts of it, and the numbers of the asks. Empty is the answer where the search has ended
    /// or what is pending uses up its budget.
    ///
    /// # Errors
    /// The request id was used for something else.
    pub fn ask_next(&self, request_id: &str, count: u32, now: SystemTime) -> Result<(Vec<Fact>, Vec<usize>), Error> {
        match self.requests.get(request_id) {
            Some(Request::Ask { count: before, asks }) if *before == count => return Ok((Vec::new(), asks.clone())),
            Some(_) => return Err(Error::RequestIdReused { id: request_id.to_owned() }),
            None => {}
        }
        let mut facts = self.lapse(now);
        let over = self.ended.is_some() || facts.contains(&Fact::Ended);
        let lapsed = self.waiting.iter().take_while(|(time, _)| *time <= now);
        let (mut pending, mut waiting) = (self.pending.clone(), self.waiting.len());
        for ask in lapsed.filter_map(|(_, number)| self.ask(*number)) {
            pending.remove(&self.tree, ask.parent, ask.action);
            waiting -= 1;
        }
        let spent = self.nodes.len() + self.failed as usize + waiting;
        let room = (self.spec.max_nodes() as usize).saturating_sub(spent);
        let granted = if over { 0 } else { room.min(count as usize) };
        let expire_time = now.checked_add(self.spec.ask_ttl()).unwrap_or(now + Duration::from_hours(24));
        let numbers: Vec<usize> = (self.asks.len() + 1..=self.asks.len() + granted).collect();
        let asks: Vec<Asked> = numbers
            .iter()
            .map(|number| {
                let (parent, action) = self.tree.select(&pending, &mut self.random(*number as u64));
                pending.add(&self.tree, parent, action);
                Asked {
                    ask_id: format!("{}-{number}", self.id),
                    parent_id: self.node_id(parent),
                    action: self.spec.actions[action].name.clone(),
                    expire_time,
                }
            })
            .collect();
        if !asks.is_empty() {
            facts.push(Fact::Asked { request_id: request_id.to_owned(), count, asks });
        }
        Ok((facts, numbers))
    }

    /// The generator of one ask: a stream of its own of the search's seed, so that a batch draws as its asks alone would.
    pub(crate) fn random(&self, stream: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.spec.seed);
        random.set_stream(stream);
        random
    }

    /// Decides on outcomes: the facts of them, and what each comes to.
    pub fn tell(&self, outcomes: Vec<(String, Outcome)>, now: SystemTime) -> (Vec<Fact>, Vec<Taken>) {
        let mut facts = self.lapse(now);
        let mut fresh = BTreeSet::new();
        let taken = outcomes.into_iter().map(|(ask_id, outcome)| {
            let Some((number, ask)) = self.ask_number(&ask_id).and_then(|n| Some((n, self.ask(n)?))) else {
                return Taken::Missing;
            };
            match &ask.fate {
                Fate::Scored(_) | Fate::Failed(_) => Taken::Before,
                Fate::Expired => Taken::Expired,
                Fate::Pending if ask.expire_time <= now => Taken::Expired,
                Fate::Pending if !fresh.insert(number) => Taken::Before,
                Fate::Pending => {
                    let scored = matches!(outcome, Outcome::Scored { .. });
                    let node_id = if scored { format!("n{number}") } else { String::new() };
                    facts.push(Fact::Told { ask_id, node_id, outcome });
                    Taken::Fresh
                }
            }
        });
        let taken = taken.collect();
        (facts, taken)
    }

    /// Decides on a worth that became known: no fact where the request was made before.
    ///
    /// # Errors
    /// No such node; the request id was used for something else.
    pub fn feedback(&self, request_id: &str, node_id: &str, reward: f64, comment: &str) -> Result<Option<Fact>, Error> {
        let request = Request::Feedback { node_id: node_id.to_owned(), reward, comment: comment.to_owned() };
        match self.requests.get(request_id) {
            Some(before) if *before == request => return Ok(None),
            Some(_) => return Err(Error::RequestIdReused { id: request_id.to_owned() }),
            None => {}
        }
        let place = self.place(node_id)?;
        let action = self.node(place).map(|node| self.action_name(node.action).to_owned()).unwrap_or_default();
        Ok(Some(Fact::Feedback {
            request_id: request_id.to_owned(),
            task_type: self.spec.task_type.clone(),
            node_id: node_id.to_owned(),
            action,
            reward,
            comment: comment.to_owned(),
        }))
    }

    /// Id of the node at a place in the tree.
    pub fn node_id(&self, place: usize) -> String {
        self.node(place).map_or_else(|| ROOT_ID.to_owned(), |node| node.id.clone())
    }

    /// Name of the action at a place in the spec.
    pub fn action_name(&self, action: usize) -> &str {
        self.spec.actions.get(action).map_or("", |action| action.name.as_str())
    }

    /// Takes in a fact. One that makes no sense here is left out.
    pub fn apply(&mut self, fact: &Fact, time: SystemTime) {
        match fact {
            Fact::Asked { request_id, count, asks } => self.apply_asked(request_id, *count, asks, time),
            Fact::Told { ask_id, node_id, outcome } => self.apply_told(ask_id, node_id, outcome, time),
            Fact::Expired { ask_ids } => {
                for number in ask_ids.iter().filter_map(|id| self.ask_number(id)).collect::<Vec<_>>() {
                    if self.settle(number, Fate::Expired) {
                        self.note(time, |_| What::Expired(number));
                    }
                }
            }
            Fact::Feedback { request_id, node_id, reward, comment, .. } => {
                let (node_id, reward, comment) = (node_id.clone(), *reward, comment.clone());
                self.note(time, |_| What::Feedback { node_id: node_id.clone(), reward });
                self.requests.insert(request_id.clone(), Request::Feedback { node_id, reward, comment });
            }
            Fact::Ended => self.end(Ended::Budget(Limit::WallTime), time),
            // Of the search as a whole.
            Fact::Created { .. } | Fact::Deleted { .. } => {}
        }
    }

    fn apply_asked(&mut self, request_id: &str, count: u32, asks: &[Asked], time: SystemTime) {
        let mut numbers = Vec::with_capacity(asks.len());
        for asked in asks {
            let parent = if asked.parent_id == ROOT_ID { Ok(ROOT) } else { self.place(&asked.parent_id) };
            let action = self.spec.actions.iter().position(|action| action.name == asked.action);
            let (Ok(parent), Some(action)) = (parent, action) else { continue };
            let number = self.asks.len() + 1;
            let (id, expire_time) = (asked.ask_id.clone(), asked.expire_time);
            self.asks.push(Ask { id, parent, action, expire_time, fate: Fate::Pending });
            self.waiting.insert((expire_time, number));
            self.pending.add(&self.tree, parent, action);
            numbers.push(number);
            self.note(time, |_| What::Asked(number));
        }
        if !request_id.is_empty() {
            self.requests.insert(request_id.to_owned(), Request::Ask { count, asks: numbers });
        }
    }

    fn apply_told(&mut self, ask_id: &str, node_id: &str, outcome: &Outcome, time: SystemTime) {
        let Some(number) = self.ask_number(ask_id) else { return };
        match outcome {
            Outcome::Failed(failure) => {
                if !self.settle(number, Fate::Failed(failure.clone())) {
                    return;
                }
                self.failed += 1;
                self.note(time, |_| What::Failed(number));
            }
            Outcome::Scored { score, state, usage } => {
                let place = self.nodes.len() + 1;
                if !self.settle(number, Fate::Scored(place)) {
                    return;
                }
                let (parent, action) = (self.asks[number - 1].parent, self.asks[number - 1].action);
                self.tree.tell(parent, action, *score);
                self.nodes.push(Node {
                    id: node_id.to_owned(),
                    parent_id: self.node_id(parent),
                    action,
                    depth: self.tree.depth(place),
                    score: *score,
                    state: state.clone(),
                    usage: *usage,
                    create_time: time,
                    ask: number,
                });
                self.usage = self.usage.plus(*usage);
                if self.best.and_then(|best| self.node(best)).is_none_or(|best| *score > best.score) {
                    self.best = Some(place);
                }
                self.note(time, |_| What::Told(place));
                if self.spec.target_score.is_some_and(|target| *score >= target) {
                    self.end(Ended::Target, time);
                }
            }
        }
        let reached = self.spec.budget.as_ref().and_then(|budget| budget.reached(self.usage));
        if self.nodes.len() + self.failed as usize >= self.spec.max_nodes() as usize {
            self.end(Ended::Budget(Limit::Nodes), time);
        } else if let Some(limit) = reached {
            self.end(Ended::Budget(limit), time);
        }
    }

    /// Ends the waiting of an ask; `false` where it does not wait.
    fn settle(&mut self, number: usize, fate: Fate) -> bool {
        let Some(ask) = self.asks.get_mut(number - 1).filter(|ask| ask.fate == Fate::Pending) else { return false };
        ask.fate = fate;
        self.waiting.remove(&(ask.expire_time, number));
        self.pending.remove(&self.tree, ask.parent, ask.action);
        true
    }

    fn end(&mut self, ended: Ended, time: SystemTime) {
        if self.ended.is_none() {
            self.ended = Some(ended);
            self.note(time, |standing| What::Ended(Box::new(standing)));
        }
    }

    fn note(&mut self, time: SystemTime, what: impl FnOnce(Standing) -> What) {
        self.update_time = time;
        let mut standing = self.standing();
        standing.sequence += 1;
        self.history.push(Change { time, what: what(standing) });
    }
}
