//! Spans, recorded as plain values into a bounded buffer; see deploy/decisions/0040.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::fmt::{self, Display, Write as _};
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use tokio::sync::{Notify, oneshot};
use tonic::Code;
use uait_gen::service::Method;

use crate::identity::{Identity, Tenant};

/// Spans kept while the collector is slow or away; more are dropped, so that memory stays bounded.
const BUFFERED: usize = 4096;
/// As many spans as wake the exporter before its second is over.
const BATCH: usize = 512;

/// A span's place in its trace, as W3C trace context has it. All zero when there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpanContext {
    /// Of the trace.
    pub trace_id: u128,
    /// Of the span within it.
    pub span_id: u64,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

impl SpanContext {
    /// Reads a `traceparent`, of any version whose first four parts are those of version 00.
    pub fn parse(traceparent: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(traceparent).ok()?;
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lower_hex = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let lengths = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
        let extra = parts.next().is_some();
        if !lengths
            || version == "ff"
            || (version == "00" && extra)
            || ![version, trace, span, flags].into_iter().all(lower_hex)
        {
            return None;
        }
        let context = Self {
            trace_id: u128::from_str_radix(trace, 16).ok()?,
            span_id: u64::from_str_radix(span, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        context.is_valid().then_some(context)
    }

    /// Whether it names a span.
    pub fn is_valid(&self) -> bool {
        self.trace_id != 0 && self.span_id != 0
    }

    /// The trace id as 32 hex digits; empty when there is none.
    pub fn trace_id_hex(&self) -> String {
        if self.is_valid() { hex(&self.trace_id.to_be_bytes()) } else { String::new() }
    }

    /// The span id as 16 hex digits; empty when there is none.
    pub fn span_id_hex(&self) -> String {
        if self.is_valid() { hex(&self.span_id.to_be_bytes()) } else { String::new() }
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        if !self.is_valid() {
            return None;
        }
        let mut text = bytes::BytesMut::with_capacity(55);
        write!(text, "{self}").ok()?;
        HeaderValue::from_maybe_shared(text.freeze()).ok()
    }
}

impl Display for SpanContext {
    /// The `traceparent`; nothing when there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_valid() {
            return Ok(());
        }
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// Lower-case hex digits; the formatter takes ten times as long for a number of 128 bits.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// What a span does, with the numbers of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Answers a call.
    Server = 2,
    /// Makes a call.
    Client = 3,
    /// Publishes an event.
    Producer = 4,
    /// Handles an event.
    Consumer = 5,
}

/// A finished span, small because the buffer is filled under a lock.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) kind: Kind,
    pub(crate) context: SpanContext,
    pub(crate) parent: u64,
    /// Since 1970, in nanoseconds.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) tenant: Tenant,
    pub(crate) work: Work,
}

/// What a span was about.
#[derive(Debug)]
pub(crate) enum Work {
    Call(&'static Method, Code),
    Event(Box<EventWork>),
}

/// The publishing or the handling of an event.
#[derive(Debug)]
pub(crate) struct EventWork {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(&'static str, String)>,
    /// What went wrong.
    pub(crate) error: Option<String>,
}

/// Makes spans and keeps them until they are exported. Clones share the buffer.
#[derive(Clone)]
pub struct Tracer(Arc<Inner>);

struct Inner {
    enabled: bool,
    /// Root traces whose lower 64 bits of the id lie below are sampled.
    threshold: u64,
    buffer: Mutex<Vec<Span>>,
    full: Notify,
    flush: Mutex<Option<tokio::sync::mpsc::Sender<oneshot::Sender<()>>>>,
}

/// A span under way; [`Recording::end`] records it.
#[derive(Debug, Clone, Copy)]
pub struct Recording {
    /// The span's own place.
    pub context: SpanContext,
    parent: u64,
    /// When it began.
    pub started: Instant,
    recorded: bool,
}

impl Tracer {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub(crate) fn new(enabled: bool, sampled_share: f64) -> Self {
        // A float of 1.0 times 2^64 saturates, as it should.
        let threshold = (sampled_share * u64::MAX as f64) as u64;
        let buffer = Mutex::new(Vec::new());
        Self(Arc::new(Inner { enabled, threshold, buffer, full: Notify::new(), flush: Mutex::new(None) }))
    }

    /// Begins a span below `parent`, or a trace of its own. Switched off, it passes the parent's context on.
    pub fn begin(&self, parent: Option<SpanContext>) -> Recording {
        let started = Instant::now();
        if !self.0.enabled {
            return Recording { context: parent.unwrap_or_default(), parent: 0, started, recorded: false };
        }
        let span_id = random().max(1);
        let (context, parent) = if let Some(parent) = parent {
            (SpanContext { span_id, ..parent }, parent.span_id)
        } else {
            let low = random();
            let sampled = low < self.0.threshold || self.0.threshold == u64::MAX;
            (SpanContext { trace_id: u128::from(random()) << 64 | u128::from(low.max(1)), span_id, sampled }, 0)
        };
        Recording { context, parent, started, recorded: context.sampled }
    }

    pub(crate) fn record(&self, span: Span) {
        let mut buffer = self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() >= BUFFERED {
            return;
        }
        buffer.push(span);
        let wake = buffer.len() == BATCH;
        drop(buffer);
        if wake {
            self.0.full.notify_one();
        }
    }

    pub(crate) fn take(&self) -> Vec<Span> {
        std::mem::take(&mut *self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Resolves when there is a batch to export.
    pub(crate) async fn filled(&self) {
        self.0.full.notified().await;
    }

    pub(crate) fn on_flush(&self, exporter: tokio::sync::mpsc::Sender<oneshot::Sender<()>>) {
        *self.0.flush.lock().unwrap_or_else(PoisonError::into_inner) = Some(exporter);
    }

    pub(crate) async fn flush(&self) {
        let exporter = self.0.flush.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(exporter) = exporter {
            let (done, flushed) = oneshot::channel();
            let asked = async {
                if exporter.send(done).await.is_ok() {
                    // An error says that the exporter is gone, and then there is nothing to wait for.
                    flushed.await.ok();
                }
            };
            tokio::time::timeout(Duration::from_secs(2), asked).await.ok();
        }
    }
}

impl Recording {
    /// Time since it began.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Records the span of a call.
    pub(crate) fn end_call(
        self,
        tracer: &Tracer,
        kind: Kind,
        method: &'static Method,
        code: Code,
        identity: &Identity,
        took: Duration,
    ) {
        if !self.recorded {
            return;
        }
        self.record(tracer, kind, identity, took, Work::Call(method, code));
    }

    /// Records the span of an event.
    pub(crate) fn end_event(
        self,
        tracer: &Tracer,
        kind: Kind,
        name: String,
        identity: &Identity,
        attributes: impl IntoIterator<Item = (&'static str, String)>,
        error: Option<String>,
    ) {
        if !self.recorded {
            return;
        }
        let work = EventWork { name, attributes: attributes.into_iter().collect(), error };
        self.record(tracer, kind, identity, self.elapsed(), Work::Event(Box::new(work)));
    }

    fn record(self, tracer: &Tracer, kind: Kind, identity: &Identity, took: Duration, work: Work) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let end = nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        tracer.record(Span {
            kind,
            context: self.context,
            parent: self.parent,
            start: end.saturating_sub(nanos(took)),
            end,
            tenant: identity.shared_tenant(),
            work,
        });
    }
}

/// Random bits for ids: xorshift128+ (Vigna, 2014), seeded for each thread from the operating system's randomness.
/// Ids must be unlikely to collide, not hard to guess.
fn random() -> u64 {
    thread_local! {
        static STATE: Cell<[u64; 2]> = Cell::new(std::array::from_fn(|_| RandomState::new().build_hasher().finish() | 1));
    }
    STATE.with(|state| {
        let [mut a, b] = state.get();
        a ^= a << 23;
        let c = a ^ b ^ (a >> 18) ^ (b >> 5);
        state.set([b, c]);
        c.wrapping_add(b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn traceparent_is_read_and_written_back() {
        let context = SpanContext::parse(PARENT.as_bytes()).unwrap();
        assert_eq!(context.to_string(), PARENT);
        assert_eq!(context.trace_id_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id_hex(), "00f067aa0ba902b7");
        assert_eq!(context.header().unwrap(), PARENT);
        assert!(SpanContext::parse(b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
    }

    #[test]
    fn traceparent_malformed_is_ignored() {
        for malformed in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(SpanContext::parse(malformed.as_bytes()), None, "{malformed}");
        }
    }

    #[test]
    fn tracer_keeps_the_parents_trace_and_decision() {
        let tracer = Tracer::new(true, 0.0);
        let parent = SpanContext::parse(PARENT.as_bytes()).unwrap();
        let span = tracer.begin(Some(parent));
        assert_eq!((span.context.trace_id, span.context.sampled, span.parent), (parent.trace_id, true, parent.span_id));
        assert_ne!(span.context.span_id, parent.span_id);
        assert!(!tracer.begin(None).context.sampled, "a share of 0 samples no root");
    }

    #[test]
    fn tracer_samples_its_share_of_roots() {
        let sampled = |share| (0..2000).filter(|_| Tracer::new(true, share).begin(None).context.sampled).count();
        assert_eq!(sampled(1.0), 2000);
        assert!((800..1200).contains(&sampled(0.5)));
    }

    #[test]
    fn tracer_switched_off_passes_the_context_on() {
        let tracer = Tracer::new(false, 1.0);
        let parent = SpanContext::parse(PARENT.as_bytes()).unwrap();
        assert_eq!(tracer.begin(Some(parent)).context, parent);
        assert!(!tracer.begin(None).context.is_valid());
        assert!(tracer.take().is_empty());
    }

    #[test]
    fn tracer_buffer_is_bounded() {
        let tracer = Tracer::new(true, 1.0);
        for _ in 0..BUFFERED + 10 {
            tracer.begin(None).end_event(&tracer, Kind::Producer, "publish".to_owned(), &Identity::default(), [], None);
        }
        assert_eq!(tracer.take().len(), BUFFERED);
        assert!(tracer.take().is_empty());
    }
}
