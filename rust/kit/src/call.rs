//! The call that is being handled: who asks, until when, and in which trace.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Code;

use crate::identity::Identity;
use crate::telemetry::SpanContext;

/// How long before its deadline a caller may give up because of it.
const EXPIRING_AHEAD: Duration = Duration::from_millis(100);

tokio::task_local! {
    static CURRENT: Arc<Call>;
}

/// What the kit knows of the work under way. Outgoing calls and published events take their deadline, identity and trace
/// from it, and log lines their trace.
///
/// It is current inside of a handler, its streams included. Work handed to another task or thread takes it along with
/// [`Call::scope`].
#[derive(Debug, Default)]
pub struct Call {
    /// On whose behalf; empty in tenantless services.
    pub identity: Identity,
    /// When the caller stops waiting; `None` when it set no deadline.
    pub deadline: Option<Instant>,
    /// The server's span, or the span in which an event is handled.
    pub span: SpanContext,
    /// From here on a caller that goes away does so because of its deadline.
    expiring: Option<Instant>,
    trailers: Mutex<Vec<(HeaderName, HeaderValue)>>,
}

impl Call {
    pub(crate) fn new(identity: Identity, deadline: Option<Instant>, span: SpanContext) -> Arc<Self> {
        // The caller's clock began earlier than ours, by the time that the request was on its way: its own timer resets the
        // stream before ours fires, and that is still the deadline.
        let expiring = deadline.map(|deadline| {
            let timeout = deadline.saturating_duration_since(Instant::now());
            deadline.checked_sub((timeout / 4).min(EXPIRING_AHEAD)).unwrap_or(deadline)
        });
        Arc::new(Self { identity, deadline, span, expiring, trailers: Mutex::default() })
    }

    /// What has happened when the work is dropped now: CANCELLED, or DEADLINE_EXCEEDED where the deadline is about to pass.
    pub fn abandoned(&self) -> Code {
        if self.expiring.is_some_and(|from| Instant::now() >= from) { Code::DeadlineExceeded } else { Code::Cancelled }
    }

    /// A call on behalf of a tenant, for work that no caller has asked for; `None` if it is no tenant.
    pub fn for_tenant(tenant: &str) -> Option<Arc<Self>> {
        Some(Self::new(Identity::of_tenant(tenant)?, None, SpanContext::default()))
    }

    /// The call being handled by the running task.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Runs `work` as part of this call, on whatever task.
    pub fn scope<F: Future>(self: Arc<Self>, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// Runs `work` as part of this call, now.
    pub fn enter<R>(self: &Arc<Self>, work: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(self.clone(), work)
    }

    /// Time until the deadline, zero when it has passed; `None` without a deadline.
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Adds trailing metadata to the call's response, whether it succeeds or fails; tonic itself has no way to.
    /// Too late once the response has ended.
    pub fn add_trailer(&self, name: HeaderName, value: HeaderValue) {
        self.trailers.lock().unwrap_or_else(PoisonError::into_inner).push((name, value));
    }

    pub(crate) fn take_trailers(&self, into: &mut HeaderMap) {
        for (name, value) in self.trailers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            into.append(name, value);
        }
    }
}

/// Reads `grpc-timeout`: at most 8 digits and a unit (gRPC over HTTP/2, "Timeout"). `None` for none and for a malformed one.
pub(crate) fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// Writes `grpc-timeout`, in the finest unit of which 8 digits suffice.
pub(crate) fn timeout_value(left: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let text = if left.as_micros() <= MOST {
        format!("{}u", left.as_micros())
    } else if left.as_millis() <= MOST {
        format!("{}m", left.as_millis())
    } else {
        format!("{}S", u128::from(left.as_secs()).min(MOST))
    };
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static("0u"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_units_are_read_and_malformed_ones_ignored() {
        let read = |value: &str| {
            timeout_of(&[(HeaderName::from_static("grpc-timeout"), value.parse().unwrap())].into_iter().collect())
        };
        assert_eq!(read("2H"), Some(Duration::from_hours(2)));
        assert_eq!(read("150m"), Some(Duration::from_millis(150)));
        assert_eq!(read("99999999u"), Some(Duration::from_micros(99_999_999)));
        assert_eq!(read("0n"), Some(Duration::ZERO));
        for malformed in ["", "m", "5", "1.5S", "123456789m", "-1S", "10x"] {
            assert_eq!(read(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn timeout_written_is_read_back() {
        for left in [Duration::ZERO, Duration::from_micros(7), Duration::from_secs(30), Duration::from_hours(24)] {
            let headers = [(HeaderName::from_static("grpc-timeout"), timeout_value(left))].into_iter().collect();
            assert_eq!(timeout_of(&headers), Some(left));
        }
    }

    #[test]
    fn call_abandoned_near_its_deadline_is_expired() {
        let after = |timeout| {
            Call::new(Identity::default(), Some(Instant::now() + timeout), SpanContext::default()).abandoned()
        };
        assert_eq!(after(Duration::from_secs(10)), Code::Cancelled);
        assert_eq!(after(Duration::ZERO), Code::DeadlineExceeded);
        assert_eq!(Call::default().abandoned(), Code::Cancelled);
    }

    #[tokio::test]
    async fn call_is_current_inside_of_its_scope_only() {
        assert!(Call::current().is_none());
        let call = Call::new(Identity::of_tenant("acme").unwrap(), None, SpanContext::default());
        let tenant = call.scope(async { Call::current().unwrap().identity.tenant().to_owned() }).await;
        assert_eq!(tenant, "acme");
        assert!(Call::current().is_none());
    }
}
