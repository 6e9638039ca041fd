//! The contract of `uait.ab_mcts.v1`: each method checks, calls and converts.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::Pin;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};
use uait_gen::ab_mcts::v1::ab_mcts_service_server::AbMctsService;
use uait_gen::ab_mcts::v1::search_request::{Action, open};
use uait_gen::ab_mcts::v1::search_response::Event;
use uait_gen::ab_mcts::v1::*;
use uait_kit::Call;
use uait_kit::status::error_info;
use uuid::Uuid;

use crate::attempt::{Fate, Taken};
use crate::error::Error;
use crate::fact::Outcome as Attempt;
use crate::history::Standing;
use crate::recommendation::Beliefs;
use crate::search;
use crate::searches::Searches;
use crate::store::{Store, Watcher};
use crate::wire;

const DEFAULT_PAGE: usize = 100;
/// A page ends with the search that reaches this, for its best node's state may be large.
const PAGE_BYTES: usize = 1 << 20;
const DEFAULT_DRAWS: u32 = 1_000;
/// Changes that a watcher is sent between two looks at the search.
const CHUNK: usize = 64;
/// Stream of the seed from which recommendations draw; asks have the first ones.
const RECOMMENDING: u64 = u64::MAX;

/// Answers the calls of `AbMctsService`.
pub struct Handler {
    store: Store,
}

impl Handler {
    /// Over some searches.
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

type Responses<T> = BoxStream<'static, Result<T, Status>>;

async fn create(store: &Store, request: CreateSearchRequest) -> Result<Search, Error> {
    let CreateSearchRequest { request_id, spec } = request;
    let spec = wire::spec_of(spec.unwrap_or_default());
    let name = format!("create/{request_id}");
    let fresh_id = Uuid::now_v7().simple().to_string();
    let decide = move |searches: &Searches, tenant: &str| searches.create(tenant, &request_id, &spec, &fresh_id);
    store.decide_on_all(&name, decide, |searches, tenant, id| Ok(wire::search(searches.get(tenant, id)?))).await
}

async fn ask(store: &Store, id: &str, request_id: String, count: i32) -> Result<(Vec<Ask>, Standing), Error> {
    let count = u32::try_from(count).unwrap_or(0).max(1);
    let decide = move |search: &search::Search, now| search.ask_next(&request_id, count, now);
    let answer = |search: &search::Search, numbers: Vec<usize>| {
        (numbers.into_iter().filter_map(|number| wire::ask(search, number)).collect(), search.standing())
    };
    store.decide(id, decide, answer).await
}

async fn tell(store: &Store, id: &str, outcomes: Vec<Outcome>) -> Result<(Vec<Told>, Standing), Error> {
    let outcomes: Vec<_> = outcomes.into_iter().filter_map(wire::outcome_of).collect();
    let sound = outcomes.iter().all(|(_, outcome)| match outcome {
        Attempt::Scored { usage, .. } => usage.is_sound(),
        Attempt::Failed(_) => true,
    });
    if !sound {
        return Err(Error::Value { field: "outcomes.scored.usage", what: "must not be negative" });
    }
    let ids: Vec<String> = outcomes.iter().map(|(id, _)| id.clone()).collect();
    let decide = move |search: &search::Search, now| Ok(search.tell(outcomes.clone(), now));
    let answer = move |search: &search::Search, taken: Vec<Taken>| {
        let told = ids.into_iter().zip(taken).map(|(id, taken)| told(search, id, taken)).collect();
        (told, search.standing())
    };
    store.decide(id, decide, answer).await
}

/// What became of one outcome.
fn told(search: &search::Search, ask_id: String, taken: Taken) -> Told {
    let refused = |error: Error| told::Result::Refused(failure(&error.into()));
    let result = match taken {
        Taken::Missing => refused(Error::NoAsk { id: ask_id.clone() }),
        Taken::Expired => refused(Error::AskExpired { id: ask_id.clone() }),
        Taken::Fresh | Taken::Before => {
            match search.ask_number(&ask_id).and_then(|n| search.ask(n)).map(|ask| &ask.fate) {
                Some(Fate::Scored(place)) => told::Result::Node(wire::node_at(search, *place)),
                Some(Fate::Failed(_)) => told::Result::Failed(told::Failed {}),
                Some(Fate::Expired) => refused(Error::AskExpired { id: ask_id.clone() }),
                Some(Fate::Pending) | None => refused(Error::NoAsk { id: ask_id.clone() }),
            }
        }
    };
    Told { ask_id, result: Some(result), repeated_tell: taken == Taken::Before }
}

fn failure(status: &Status) -> uait_gen::types::v1::Failure {
    let reason = error_info(status).map(|info| info.reason).unwrap_or_default();
    let (code, message) = (status.code().into(), status.message().to_owned());
    uait_gen::types::v1::Failure { code, reason, message, field_violations: Vec::new() }
}

#[tonic::async_trait]
impl AbMctsService for Handler {
    type SearchStream = Responses<SearchResponse>;
    type WatchSearchStream = Responses<WatchSearchResponse>;

    async fn create_search(
        &self,
        request: Request<CreateSearchRequest>,
    ) -> Result<Response<CreateSearchResponse>, Status> {
        let search = create(&self.store, request.into_inner()).await?;
        Ok(Response::new(CreateSearchResponse { search: Some(search) }))
    }

    async fn ask(&self, request: Request<AskRequest>) -> Result<Response<AskResponse>, Status> {
        let AskRequest { request_id, search_id, count } = request.into_inner();
        let (asks, standing) = ask(&self.store, &search_id, request_id, count).await?;
        let (state, ended_by) = wire::state(standing.ended);
        Ok(Response::new(AskResponse { asks, state: state.into(), ended_by: ended_by.into() }))
    }

    async fn tell(&self, request: Request<TellRequest>) -> Result<Response<TellResponse>, Status> {
        let TellRequest { search_id, outcomes } = request.into_inner();
        let (told, standing) = tell(&self.store, &search_id, outcomes).await?;
        let (state, ended_by) = wire::state(standing.ended);
        Ok(Response::new(TellResponse { told, state: state.into(), ended_by: ended_by.into() }))
    }

    async fn search(&self, request: Request<Streaming<SearchRequest>>) -> Result<Response<Self::SearchStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await.map_err(|status| Error::Request(Box::new(status)))?;
        let Some(Action::Open(opening)) = first.and_then(|request| request.action) else {
            return Err(Error::Stream("a stream begins with `open`").into());
        };
        let search = match opening.search {
            Some(open::Search::Create(request)) => create(&self.store, request).await?,
            Some(open::Search::SearchId(id)) => {
                self.store.read(move |searches, tenant| Ok(wire::search(searches.get(tenant, &id)?))).await?
            }
            None => return Err(Error::Stream("`open` names a search").into()),
        };
        let id = search.search_id.clone();
        let ended = search.state == SearchState::Ended as i32;
        let mut first = vec![Event::Opened(search.clone())];
        first.extend(ended.then_some(Event::Ended(search)));
        let conversation = Conversation { store: self.store.clone(), requests: Box::pin(requests), id, ended };
        let rest = stream::try_unfold(conversation, |mut conversation| async {
            Ok(conversation.turn().await?.map(|events| (events, conversation)))
        });
        let events = stream::once(async { Ok(first) }).chain(rest).flat_map(|turn: Result<Vec<Event>, Error>| {
            stream::iter(match turn {
                Ok(events) => events.into_iter().map(|event| Ok(SearchResponse { event: Some(event) })).collect(),
                Err(error) => vec![Err(error.into())],
            })
        });
        Ok(Response::new(Box::pin(events)))
    }

    async fn get_search(&self, request: Request<GetSearchRequest>) -> Result<Response<GetSearchResponse>, Status> {
        let id = request.into_inner().search_id;
        let look = move |searches: &Searches, tenant: &str| Ok(wire::search(searches.get(tenant, &id)?));
        Ok(Response::new(GetSearchResponse { search: Some(self.store.read(look).await?) }))
    }

    async fn list_searches(
        &self,
        request: Request<ListSearchesRequest>,
    ) -> Result<Response<ListSearchesResponse>, Status> {
        let request = request.into_inner();
        let filter = fingerprint(&request);
        let before = match request.page_token.as_str() {
            "" => u64::MAX,
            token => token
                .split_once('-')
                .filter(|(of, _)| *of == filter)
                .and_then(|(_, number)| number.parse().ok())
                .ok_or(Error::PageToken)?,
        };
        let size = usize::try_from(request.page_size).ok().filter(|size| *size > 0).unwrap_or(DEFAULT_PAGE);
        let look = move |searches: &Searches, tenant: &str| {
            let wanted = |search: &search::Search| {
                let state = wire::state(search.standing().ended).0 as i32;
                (request.task_type.is_empty() || request.task_type == search.spec.task_type)
                    && (request.state == SearchState::Unspecified as i32 || request.state == state)
            };
            let mut found = searches.newest_first(tenant, before).filter(|(_, search)| wanted(search)).peekable();
            let (mut page, mut bytes, mut last) = (Vec::new(), 0, before);
            while page.len() < size
                && bytes < PAGE_BYTES
                && let Some((number, search)) = found.next()
            {
                let search = wire::search(search);
                bytes += search.encoded_len();
                page.push(search);
                last = number;
            }
            let next_page_token = found.peek().map(|_| format!("{filter}-{last}")).unwrap_or_default();
            Ok(ListSearchesResponse { searches: page, next_page_token })
        };
        Ok(Response::new(self.store.read(look).await?))
    }

    async fn top_k(&self, request: Request<TopKRequest>) -> Result<Response<TopKResponse>, Status> {
        let TopKRequest { search_id, k } = request.into_inner();
        let k = usize::try_from(k).unwrap_or(0).max(1);
        let look = move |searches: &Searches, tenant: &str| {
            let search = searches.get(tenant, &search_id)?;
            let mut nodes: Vec<_> = search.nodes().collect();
            // Stable, so that of equals the earlier comes first.
            nodes.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
            let nodes = nodes.into_iter().take(k).map(|(place, node)| wire::node(search, place, node)).collect();
            Ok(TopKResponse { nodes })
        };
        Ok(Response::new(self.store.read(look).await?))
    }

    async fn recommend(&self, request: Request<RecommendRequest>) -> Result<Response<RecommendResponse>, Status> {
        let RecommendRequest { search_id, draws } = request.into_inner();
        let draws = u32::try_from(draws).ok().filter(|draws| *draws > 0).unwrap_or(DEFAULT_DRAWS);
        let id = search_id.clone();
        let look = move |searches: &Searches, tenant: &str| {
            let search = searches.get(tenant, &id)?;
            Ok((Beliefs::of(search), search.random(RECOMMENDING)))
        };
        let (beliefs, mut random) = self.store.read(look).await?;
        let drawing = tokio::task::spawn_blocking(move || beliefs.recommend(draws, &mut random));
        let found = drawing.await.map_err(|error| uait_kit::status::internal(&error))?;
        let node_id = found.node.as_ref().map(|(node, ..)| node.id.clone());
        let look = move |searches: &Searches, tenant: &str| {
            let search = searches.get(tenant, &search_id)?;
            node_id.as_deref().map(|id| Ok(wire::node_at(search, search.place(id)?))).transpose()
        };
        Ok(Response::new(wire::recommendation(found, self.store.read(look).await?)))
    }

    async fn feedback(&self, request: Request<FeedbackRequest>) -> Result<Response<FeedbackResponse>, Status> {
        let FeedbackRequest { request_id, search_id, node_id, reward, comment } = request.into_inner();
        let node = node_id.clone();
        let decide = move |search: &search::Search, _| {
            Ok((search.feedback(&request_id, &node_id, reward, &comment)?.into_iter().collect(), ()))
        };
        let answer = move |search: &search::Search, ()| search.place(&node).map(|place| wire::node_at(search, place));
        let node = self.store.decide(&search_id, decide, answer).await.flatten()?;
        Ok(Response::new(FeedbackResponse { node: Some(node) }))
    }

    async fn watch_search(
        &self,
        request: Request<WatchSearchRequest>,
    ) -> Result<Response<Self::WatchSearchStream>, Status> {
        let WatchSearchRequest { search_id, resume_after } = request.into_inner();
        let (store, id) = (self.store.clone(), search_id.clone());
        store.read(move |searches, tenant| searches.get(tenant, &id).map(|_| ())).await?;
        let state = Watch { watcher: store.watch(&search_id), store, id: search_id, seen: resume_after };
        let chunks = stream::try_unfold(state, |mut watch| async {
            Ok(watch.next_chunk().await?.map(|chunk| (stream::iter(chunk.into_iter().map(Ok)), watch)))
        });
        let changes = chunks.flat_map(|chunk: Result<_, Error>| match chunk {
            Ok(changes) => changes.left_stream(),
            Err(error) => stream::iter([Err(Status::from(error))]).right_stream(),
        });
        Ok(Response::new(Box::pin(changes)))
    }

    async fn delete_search(
        &self,
        request: Request<DeleteSearchRequest>,
    ) -> Result<Response<DeleteSearchResponse>, Status> {
        let DeleteSearchRequest { request_id, search_id } = request.into_inner();
        let id = search_id.clone();
        let decide =
            move |searches: &Searches, tenant: &str| Ok((id.clone(), searches.delete(tenant, &request_id, &id)?));
        self.store.decide_on_all(&search_id, decide, |_, _, _| Ok(())).await?;
        Ok(Response::new(DeleteSearchResponse {}))
    }
}

/// What a page token is good for: the same filter of the same tenant.
fn fingerprint(request: &ListSearchesRequest) -> String {
    let mut hasher = DefaultHasher::new();
    let tenant = Call::current().map(|call| call.identity.tenant().to_owned());
    (tenant, &request.task_type, request.state).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// A `Search` stream after its opening.
struct Conversation {
    store: Store,
    requests: Pin<Box<Streaming<SearchRequest>>>,
    id: String,
    /// Whether the caller has been told that the search has ended.
    ended: bool,
}

impl Conversation {
    /// Answers the next request; `None` where the caller has nothing more to say.
    async fn turn(&mut self) -> Result<Option<Vec<Event>>, Error> {
        let request = self.requests.message().await.map_err(|status| Error::Request(Box::new(status)))?;
        let Some(request) = request else { return Ok(None) };
        let (mut events, standing): (Vec<Event>, _) = match request.action {
            Some(Action::Ask(search_request::AskMore { count })) => {
                // A name of its own: nobody can repeat what comes over a stream, but the journal may have to.
                let (asks, standing) =
                    ask(&self.store, &self.id, format!("stream-{}", Uuid::now_v7().simple()), count).await?;
                (asks.into_iter().map(Event::Ask).collect(), standing)
            }
            Some(Action::Tell(outcome)) => {
                let (told, standing) = tell(&self.store, &self.id, vec![outcome]).await?;
                (told.into_iter().map(Event::Told).collect(), standing)
            }
            Some(Action::Open(_)) | None => return Err(Error::Stream("a stream is opened once")),
        };
        if standing.ended.is_some() && !self.ended {
            self.ended = true;
            let id = self.id.clone();
            let look = move |searches: &Searches, tenant: &str| Ok(wire::search(searches.get(tenant, &id)?));
            events.push(Event::Ended(self.store.read(look).await?));
        }
        Ok(Some(events))
    }
}

/// A `WatchSearch` stream.
struct Watch {
    store: Store,
    watcher: Watcher,
    id: String,
    seen: u64,
}

impl Watch {
    /// The next changes, at least one; `None` after the last that there will be.
    async fn next_chunk(&mut self) -> Result<Option<Vec<WatchSearchResponse>>, Error> {
        loop {
            // First, so that no change falls between this and the wait.
            self.watcher.look();
            let (id, seen) = (self.id.clone(), self.seen);
            let look = move |searches: &Searches, tenant: &str| {
                let search = searches.get(tenant, &id)?;
                let changes = search.changes(seen).take(CHUNK);
                Ok((changes.map(|(at, change)| wire::change(search, at, change)).collect::<Vec<_>>(), search.is_over()))
            };
            let (changes, over) = self.store.read(look).await?;
            if let Some(last) = changes.last() {
                self.seen = last.sequence;
                return Ok(Some(changes));
            }
            if over {
                return Ok(None);
            }
            self.watcher.changed().await;
        }
    }
}
