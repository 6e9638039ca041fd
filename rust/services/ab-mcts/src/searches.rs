//! All searches of all tenants, what their task types have taught, and which requests were made.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use crate::error::Error;
use crate::fact::Fact;
use crate::search::Search;
use crate::spec::Spec;

/// A tenant keeps as many; of more, those that ended the longest ago go.
pub const KEPT: usize = 5_000;
/// A search goes with the journal's events of its creation.
pub const MAX_AGE: Duration = Duration::from_hours(30 * 24);
/// How long the deletion of a search is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);

/// A tenant and a name within it.
pub type Key = (String, String);

/// Everything there is.
#[derive(Debug, Default)]
pub struct Searches {
    tenants: HashMap<String, Tenant>,
    /// Next moment at which something lapses, of each search that has one.
    due: BTreeSet<(SystemTime, Key)>,
    created: VecDeque<(SystemTime, Key)>,
    deleted: VecDeque<(SystemTime, Key)>,
}

#[derive(Debug, Default)]
struct Tenant {
    searches: HashMap<String, Search>,
    /// By the number of their creation, which orders them.
    order: BTreeMap<u64, String>,
    numbers: HashMap<String, u64>,
    /// Searches by the requests that created them.
    creations: HashMap<String, String>,
    /// Searches by the requests that deleted them.
    deletions: HashMap<String, String>,
    taught: HashMap<String, HashMap<String, Rewards>>,
}

/// What an action's attempts turned out to be worth.
#[derive(Debug, Clone, Copy, Default)]
struct Rewards {
    count: f64,
    sum: f64,
}

impl Searches {
    /// A search of a tenant.
    ///
    /// # Errors
    /// It has none of this id.
    pub fn get(&self, tenant: &str, id: &str) -> Result<&Search, Error> {
        let found = self.tenants.get(tenant).and_then(|tenant| tenant.searches.get(id));
        found.ok_or_else(|| Error::NoSearch { id: id.to_owned() })
    }

    /// The searches of a tenant with their numbers, the newest first, of those that are older than number `before`.
    pub fn newest_first<'a>(&'a self, tenant: &str, before: u64) -> impl Iterator<Item = (u64, &'a Search)> + use<'a> {
        self.tenants.get(tenant).into_iter().flat_map(move |tenant| {
            let older = tenant.order.range(..before).rev();
            older.filter_map(|(number, id)| Some((*number, tenant.searches.get(id)?)))
        })
    }

    /// Decides on a search to create: its id, and the fact of it unless the request was made before.
    ///
    /// # Errors
    /// The spec makes no sense; the request id was used for another.
    pub fn create(
        &self,
        tenant: &str,
        request_id: &str,
        spec: &Spec,
        fresh_id: &str,
    ) -> Result<(String, Option<Fact>), Error> {
        let before = self.tenants.get(tenant).and_then(|tenant| {
            let id = tenant.creations.get(request_id)?;
            Some((id, tenant.searches.get(id)?))
        });
        if let Some((id, search)) = before {
            if search.spec == *spec {
                return Ok((id.clone(), None));
            }
            return Err(Error::RequestIdReused { id: request_id.to_owned() });
        }
        spec.check()?;
        let taught = self.taught(tenant, spec);
        let created = Fact::Created { request_id: request_id.to_owned(), spec: Box::new(spec.clone()), taught };
        Ok((fresh_id.to_owned(), Some(created)))
    }

    /// Prior means by action, of those that the spec leaves open and the task type has rewards of: the rewards' mean, drawn
    /// towards the spec's prior by as many observations as that is worth.
    fn taught(&self, tenant: &str, spec: &Spec) -> BTreeMap<String, f64> {
        let Some(rewards) = self.tenants.get(tenant).and_then(|tenant| tenant.taught.get(&spec.task_type)) else {
            return BTreeMap::new();
        };
        let prior = spec.prior();
        let mean = |rewards: &Rewards| (prior.weight() * prior.mean() + rewards.sum) / (prior.weight() + rewards.count);
        let open = spec.actions.iter().filter(|action| action.expected_score.is_none());
        open.filter_map(|action| Some((action.name.clone(), mean(rewards.get(&action.name)?)))).collect()
    }

    /// Decides on a search to delete: no fact where the request was made before.
    ///
    /// # Errors
    /// No such search; the request id was used for another.
    pub fn delete(&self, tenant: &str, request_id: &str, id: &str) -> Result<Option<Fact>, Error> {
        match self.tenants.get(tenant).and_then(|tenant| tenant.deletions.get(request_id)) {
            Some(before) if before == id => return Ok(None),
            Some(_) => return Err(Error::RequestIdReused { id: request_id.to_owned() }),
            None => {}
        }
        self.get(tenant, id)?;
        Ok(Some(Fact::Deleted { request_id: request_id.to_owned() }))
    }

    /// The next moment at which something lapses anywhere.
    pub fn next_due(&self) -> Option<SystemTime> {
        self.due.first().map(|(time, _)| *time)
    }

    /// Searches in which something has lapsed by `now`.
    pub fn due(&self, now: SystemTime) -> Vec<Key> {
        self.due.iter().take_while(|(time, _)| *time <= now).map(|(_, key)| key.clone()).collect()
    }

    /// Takes in a fact, the `number`th of all. One that makes no sense is left out.
    pub fn apply(&mut self, number: u64, tenant: &str, id: &str, fact: &Fact, time: SystemTime) {
        self.forget(time);
        let key = || (tenant.to_owned(), id.to_owned());
        match fact {
            Fact::Created { request_id, spec, taught } => {
                let of_tenant = self.tenants.entry(tenant.to_owned()).or_default();
                if of_tenant.searches.contains_key(id) {
                    return;
                }
                let search = Search::new(id.to_owned(), request_id.clone(), (**spec).clone(), taught, time);
                self.due.extend(search.due().map(|due| (due, key())));
                of_tenant.searches.insert(id.to_owned(), search);
                of_tenant.order.insert(number, id.to_owned());
                of_tenant.numbers.insert(id.to_owned(), number);
                of_tenant.creations.insert(request_id.clone(), id.to_owned());
                self.created.push_back((time, key()));
                self.make_room(tenant);
            }
            Fact::Deleted { request_id } => {
                self.remove(tenant, id);
                let of_tenant = self.tenants.entry(tenant.to_owned()).or_default();
                of_tenant.deletions.insert(request_id.clone(), id.to_owned());
                self.deleted.push_back((time, (tenant.to_owned(), request_id.clone())));
            }
            Fact::Asked { .. } | Fact::Told { .. } | Fact::Expired { .. } | Fact::Feedback { .. } | Fact::Ended => {
                if let Fact::Feedback { task_type, action, reward, .. } = fact
                    && !task_type.is_empty()
                {
                    let of_tenant = self.tenants.entry(tenant.to_owned()).or_default();
                    let taught = of_tenant.taught.entry(task_type.clone()).or_default();
                    let rewards = taught.entry(action.clone()).or_default();
                    rewards.count += 1.0;
                    rewards.sum += reward;
                }
                let Some(search) = self.tenants.get_mut(tenant).and_then(|tenant| tenant.searches.get_mut(id)) else {
                    return;
                };
                let before = search.due();
                search.apply(fact, time);
                let after = search.due();
                if before != after {
                    before.map(|due| self.due.remove(&(due, key())));
                    self.due.extend(after.map(|due| (due, key())));
                }
            }
        }
    }

    fn remove(&mut self, tenant: &str, id: &str) {
        let Some(of_tenant) = self.tenants.get_mut(tenant) else { return };
        let Some(search) = of_tenant.searches.remove(id) else { return };
        of_tenant.creations.remove(&search.request_id);
        if let Some(number) = of_tenant.numbers.remove(id) {
            of_tenant.order.remove(&number);
        }
        if let Some(due) = search.due() {
            self.due.remove(&(due, (tenant.to_owned(), id.to_owned())));
        }
    }

    /// Lets the oldest search that is over go, else the oldest, while a tenant has too many.
    fn make_room(&mut self, tenant: &str) {
        let Some(of_tenant) = self.tenants.get(tenant) else { return };
        if of_tenant.searches.len() <= KEPT {
            return;
        }
        let is_over = |id: &&String| of_tenant.searches.get(*id).is_some_and(Search::is_over);
        let goes = of_tenant.order.values().find(is_over).or_else(|| of_tenant.order.values().next()).cloned();
        if let Some(id) = goes {
            self.remove(tenant, &id);
        }
    }

    /// Lets go what is too old.
    fn forget(&mut self, now: SystemTime) {
        let is_old = |time: &SystemTime, age| now.duration_since(*time).is_ok_and(|passed| passed > age);
        while let Some((_, (tenant, id))) = self.created.pop_front_if(|(time, _)| is_old(time, MAX_AGE)) {
            self.remove(&tenant, &id);
        }
        while let Some((_, (tenant, request))) = self.deleted.pop_front_if(|(time, _)| is_old(time, REMEMBERED)) {
            if let Some(of_tenant) = self.tenants.get_mut(&tenant) {
                of_tenant.deletions.remove(&request);
            }
        }
    }
}
