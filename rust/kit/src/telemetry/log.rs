//! Logs as JSON lines on stdout: `time`, `level`, `msg`, `service`, `instance`, `trace_id`, `span_id`, fields.

use std::fmt;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::call::Call;
use crate::config::{Config, LogLevel};
use crate::telemetry::SpanContext;

/// Makes `tracing` events of this process log lines. Only the first call has an effect.
pub fn install(config: &Config) {
    let log =
        JsonLog { level: config.log_level.into(), service: config.service.clone(), instance: config.instance.clone() };
    // It fails where a test has installed its own already, which then keeps the lines.
    tracing::subscriber::set_global_default(log).ok();
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Info => Self::INFO,
            LogLevel::Warn => Self::WARN,
            LogLevel::Error => Self::ERROR,
        }
    }
}

/// A subscriber of events only: spans of the trace are the kit's own, and libraries' spans are not wanted.
struct JsonLog {
    level: LevelFilter,
    service: String,
    instance: String,
}

impl JsonLog {
    /// Libraries may warn; what else they say is for their authors.
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        // A program's own target is the name of its crate; libraries that make targets up write them otherwise.
        let target = metadata.target();
        let program = !target.contains("::") && !target.contains('-') && target != "log";
        let ours = target.starts_with("uait") || program;
        metadata.is_event() && *metadata.level() <= self.level && (ours || *metadata.level() <= Level::WARN)
    }

    fn line(&self, event: &Event<'_>) -> Value {
        let mut line = Map::new();
        line.insert("time".to_owned(), rfc3339(SystemTime::now()).into());
        line.insert("level".to_owned(), event.metadata().level().as_str().to_ascii_lowercase().into());
        line.insert("msg".to_owned(), Value::String(String::new()));
        line.insert("service".to_owned(), self.service.as_str().into());
        line.insert("instance".to_owned(), self.instance.as_str().into());
        if let Some(span) = Call::current().map(|call| call.span).filter(SpanContext::is_valid) {
            line.insert("trace_id".to_owned(), span.trace_id_hex().into());
            line.insert("span_id".to_owned(), span.span_id_hex().into());
        }
        event.record(&mut Fields(&mut line));
        Value::Object(line)
    }
}

impl Subscriber for JsonLog {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let mut bytes = self.line(event).to_string().into_bytes();
        bytes.push(b'\n');
        // A closed stdout is no reason to fail.
        std::io::stdout().lock().write_all(&bytes).ok();
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string().into());
    }
}

/// RFC 3339 in UTC with milliseconds, through Hinnant's days-to-civil algorithm.
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, of_day) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::identity::Identity;

    struct Keep(JsonLog, Arc<Mutex<Vec<Value>>>);

    impl Subscriber for Keep {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            self.0.enabled(metadata)
        }
        fn event(&self, event: &Event<'_>) {
            self.1.lock().unwrap().push(self.0.line(event));
        }
        fn new_span(&self, attributes: &Attributes<'_>) -> Id {
            self.0.new_span(attributes)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn log_line_has_its_fields_and_the_calls_trace() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = JsonLog { level: LevelFilter::INFO, service: "echo-rust".to_owned(), instance: "a-1".to_owned() };
        let call = Call::new(Identity::default(), None, SpanContext { trace_id: 1, span_id: 2, sampled: true });
        tracing::subscriber::with_default(Keep(log, lines.clone()), || {
            call.enter(|| tracing::info!(count = 3, name = "x\"y", "handled"));
            tracing::debug!("not wanted");
            tracing::info!(target: "hyper::proto", "not wanted either");
            tracing::info!(target: "llama-cpp-2", "nor this");
            tracing::warn!(target: "hyper::proto", "wanted");
        });
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 2);
        let first = &lines[0];
        assert_eq!(
            (&first["level"], &first["msg"], &first["service"]),
            (&"info".into(), &"handled".into(), &"echo-rust".into())
        );
        assert_eq!((&first["count"], &first["name"]), (&3.into(), &"x\"y".into()));
        assert_eq!(first["trace_id"], "00000000000000000000000000000001");
        assert_eq!(lines[1].get("trace_id"), None);
    }

    #[test]
    fn time_is_written_as_rfc3339() {
        let at = |seconds, millis| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400, 7), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(1_795_536_569, 999), "2026-11-24T16:09:29.999Z");
    }
}
