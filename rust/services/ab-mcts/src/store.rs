//! Where searches are kept: the journal of the area `search`, and what it adds up to in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use uait_kit::Call;
use uait_kit::events::journal::{MemoryLog, State};
use uait_kit::events::{Event, Events, Journal};

use crate::error::Error;
use crate::fact::Fact;
use crate::search::Search;
use crate::searches::{Key, Searches};
use crate::wire;

const AREA: &str = "search";
/// A clock may be set, so a lapse is looked for again.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// After a lapse could not be stored.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Searches on disk. Clones share them.
#[derive(Clone)]
pub struct Store {
    journal: Journal<Book>,
    watchers: Watchers,
}

/// Who waits for a search to change, by search.
type Watchers = Arc<Mutex<HashMap<Key, watch::Sender<()>>>>;

/// The searches, and who waits for them.
pub struct Book {
    searches: Searches,
    watchers: Watchers,
}

impl State for Book {
    fn apply(&mut self, sequence: u64, event: &Event) {
        let Some((id, fact, time)) = wire::fact(event) else { return };
        self.searches.apply(sequence, &event.tenant, &id, &fact, time);
        if let Some(watcher) = lock(&self.watchers).get(&(event.tenant.clone(), id)) {
            watcher.send_replace(());
        }
    }
}

/// Learns of every change of one search.
pub struct Watcher {
    key: Key,
    changed: watch::Receiver<()>,
    watchers: Watchers,
}

impl Watcher {
    /// Counts what has changed so far as seen.
    pub fn look(&mut self) {
        self.changed.mark_unchanged();
    }

    /// Waits for a change after the last look.
    pub async fn changed(&mut self) {
        // An error would say that the sender is gone, which it is not before this is.
        self.changed.changed().await.ok();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut watchers = lock(&self.watchers);
        if watchers.get(&self.key).is_some_and(|sender| sender.receiver_count() <= 1) {
            watchers.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Begins to replay the journal, and to give up what lapses. To be called inside of the runtime.
    pub fn new(events: &Events) -> Self {
        Self::over(|initial| Journal::new(events, AREA, initial))
    }

    /// A store in memory, for tests.
    pub fn in_memory(log: &MemoryLog) -> Self {
        Self::over(|initial| Journal::in_memory(log, AREA, "ab-mcts", initial))
    }

    fn over(journal: impl FnOnce(Box<dyn Fn() -> Book + Send>) -> Journal<Book>) -> Self {
        let watchers = Watchers::default();
        let of_book = watchers.clone();
        let initial = move || Book { searches: Searches::default(), watchers: of_book.clone() };
        let store = Self { journal: journal(Box::new(initial)), watchers };
        tokio::spawn(store.clone().give_up_what_lapses());
        store
    }

    /// Looks at the searches of the caller's tenant.
    ///
    /// # Errors
    /// Those of `look`; the journal has not been replayed before the deadline.
    pub async fn read<T: Send + 'static>(
        &self,
        mut look: impl FnMut(&Searches, &str) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let tenant = tenant();
        self.journal.read(move |book| look(&book.searches, &tenant)).await
    }

    /// Decides on one search of the caller's tenant and stores the facts that follow; then `answer` looks at what is there.
    /// Decisions on one search come one after the other.
    ///
    /// # Errors
    /// Those of `decide`; the facts could not be stored before the deadline.
    pub async fn decide<T: Send + 'static, N: Send + 'static>(
        &self,
        search_id: &str,
        mut decide: impl FnMut(&Search, SystemTime) -> Result<(Vec<Fact>, N), Error> + Send + 'static,
        answer: impl FnOnce(&Search, N) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (of_tenant, id) = (tenant(), search_id.to_owned());
        let missing = id.clone();
        let decided = move |book: &Book| {
            let search = book.searches.get(&of_tenant, &id)?;
            let (facts, note) = decide(search, SystemTime::now())?;
            Ok((facts.into_iter().map(|fact| wire::payload(&id, fact)).collect(), note))
        };
        let (of_tenant, id) = (tenant(), search_id.to_owned());
        let answered = move |book: &Book, note| Ok(answer(book.searches.get(&of_tenant, &id)?, note));
        let scope = format!("{}/{missing}", tenant());
        self.journal.commit(scope, decided, answered).await.flatten()
    }

    /// Decides on the tenant's searches as a whole, under a name: decisions of one name come one after the other.
    ///
    /// # Errors
    /// Those of `decide`; the fact could not be stored before the deadline.
    pub async fn decide_on_all<T: Send + 'static>(
        &self,
        name: &str,
        mut decide: impl FnMut(&Searches, &str) -> Result<(String, Option<Fact>), Error> + Send + 'static,
        answer: impl FnOnce(&Searches, &str, &str) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (deciding, answering) = (tenant(), tenant());
        let decided = move |book: &Book| {
            let (id, fact) = decide(&book.searches, &deciding)?;
            Ok((fact.into_iter().map(|fact| wire::payload(&id, fact)).collect(), id))
        };
        let answered = move |book: &Book, id: String| answer(&book.searches, &answering, &id);
        self.journal.commit(format!("{}/{name}", tenant()), decided, answered).await.flatten()
    }

    /// Tells of every change of a search of the caller's tenant from now on.
    pub fn watch(&self, search_id: &str) -> Watcher {
        let key = (tenant(), search_id.to_owned());
        let mut watchers = lock(&self.watchers);
        let changed = watchers.entry(key.clone()).or_insert_with(|| watch::Sender::new(())).subscribe();
        Watcher { key, changed, watchers: self.watchers.clone() }
    }

    /// Stores that asks were given up and that searches ran out of time, when that is so.
    async fn give_up_what_lapses(self) {
        let mut progress = self.journal.progress();
        if progress.wait_for(|progress| progress.replayed).await.is_err() {
            return;
        }
        loop {
            // Nothing here waits: the journal is replayed.
            let due = self.journal.read(|book| Ok::<_, Error>(book.searches.next_due())).await.ok().flatten();
            let wait = due.map_or(LOOK_AGAIN, |due| due.duration_since(SystemTime::now()).unwrap_or_default());
            if !wait.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(wait.min(LOOK_AGAIN)) => {}
                    changed = progress.changed() => if changed.is_err() { return },
                }
                continue;
            }
            if let Err(error) = self.give_up(SystemTime::now()).await {
                tracing::warn!(error = %error, "what lapsed could not be stored yet");
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }

    async fn give_up(&self, now: SystemTime) -> Result<(), Error> {
        let due = self.journal.read(move |book| Ok::<_, Error>(book.searches.due(now))).await?;
        for (tenant, id) in due {
            let Some(call) = Call::for_tenant(&tenant) else { continue };
            let lapse = self.decide(&id, |search, now| Ok((search.lapse(now), ())), |_, ()| ());
            match call.scope(lapse).await {
                // Deleted in the meantime.
                Ok(()) | Err(Error::NoSearch { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Of the current call; empty where there is none.
fn tenant() -> String {
    Call::current().map(|call| call.identity.tenant().to_owned()).unwrap_or_default()
}
