//! The environment, read once, before anything is bound.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;

/// A value of the environment that is outside of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}={value}: must be {range}")]
pub struct ConfigError {
    /// The variable's name.
    pub variable: String,
    /// What it was set to.
    pub value: String,
    /// What it may be.
    pub range: String,
}

/// The variables of the process, or of a test.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: HashMap<String, String>,
}

impl Environment {
    /// The process's own environment. A value that is not UTF-8 is read with replacement characters, and so refused by
    /// any variable that has a range.
    pub fn of_process() -> Self {
        let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
        Self { variables: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect() }
    }

    /// The value of a variable; empty counts as unset.
    pub fn get(&self, variable: &str) -> Option<&str> {
        self.variables.get(variable).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A number within a range.
    ///
    /// # Errors
    /// Not a number, or outside of the range.
    pub fn number<T>(&self, variable: &str, default: T, range: RangeInclusive<T>) -> Result<T, ConfigError>
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let Some(value) = self.get(variable) else { return Ok(default) };
        match value.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(refuse(variable, value, format!("{} to {}", range.start(), range.end()))),
        }
    }

    /// A time in whole milliseconds within a range.
    ///
    /// # Errors
    /// Not a number, or outside of the range.
    pub fn milliseconds(
        &self,
        variable: &str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<Duration, ConfigError> {
        self.number(variable, default, range).map(Duration::from_millis)
    }

    /// One of some words.
    ///
    /// # Errors
    /// Another word.
    pub fn word<T: Copy>(&self, variable: &str, default: T, words: &[(&str, T)]) -> Result<T, ConfigError> {
        let Some(value) = self.get(variable) else { return Ok(default) };
        let names = || words.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        words
            .iter()
            .find(|(name, _)| *name == value)
            .map(|(_, word)| *word)
            .ok_or_else(|| refuse(variable, value, names()))
    }

    /// A value that `parse` makes of the variable's text; `range` says what it may be.
    ///
    /// # Errors
    /// `parse` made nothing of it.
    pub fn parsed<T>(
        &self,
        variable: &str,
        default: &str,
        range: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let value = self.get(variable).unwrap_or(default);
        parse(value).ok_or_else(|| refuse(variable, value, range.to_owned()))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        variables.into_iter().collect()
    }
}

fn refuse(variable: &str, value: &str, range: String) -> ConfigError {
    ConfigError { variable: variable.to_owned(), value: value.to_owned(), range }
}

/// What the catalogue says of the service.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// Its catalogue name.
    pub service: &'static str,
    /// Its port.
    pub port: u16,
}

/// Least severe level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What may become a problem.
    Warn,
    /// What is one.
    Error,
}

/// The mesh's own certificates, for serving and for dialling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM of the certificate and its chain.
    pub cert: Vec<u8>,
    /// PEM of its private key.
    pub key: Vec<u8>,
    /// PEM of the authority that the other side must be signed by.
    pub ca: Vec<u8>,
}

/// The kit's part of the environment; CONTRIBUTING.md lists the variables.
#[derive(Debug, Clone)]
pub struct Config {
    /// Catalogue name.
    pub service: String,
    /// Unique among the mesh's processes.
    pub instance: String,
    /// Where it listens.
    pub host: IpAddr,
    /// Port of gRPC; 0 takes a free one.
    pub port: u16,
    /// Port of `/metrics` and `/healthz`; 0 takes a free one.
    pub http_port: u16,
    /// Envoy's mesh listener, as host:port.
    pub mesh: String,
    /// The event log, unless it is off.
    pub nats_url: Option<String>,
    /// Whether to join the balancer's endpoints.
    pub lease: bool,
    /// Locality of the endpoint; empty for none.
    pub zone: String,
    /// Least severe level that is logged.
    pub log_level: LogLevel,
    /// Time after SIGTERM in which calls are still taken.
    pub drain_delay: Duration,
    /// Time after that for calls in flight to end.
    pub drain_timeout: Duration,
    /// Largest message, received or sent, in bytes.
    pub max_message_bytes: usize,
    /// Concurrent streams of one connection.
    pub max_streams: u32,
    /// Calls in flight of the process.
    pub max_inflight: usize,
    /// Deadline of an outgoing unary call where the caller set none.
    pub deadline: Duration,
    /// Mutual TLS, for serving and for dialling.
    pub tls: Option<Tls>,
    /// OTLP over gRPC.
    pub otlp_endpoint: Uri,
    /// Whether spans are recorded.
    pub otel_enabled: bool,
    /// Share of root traces that are sampled.
    pub sampled_share: f64,
}

impl Config {
    /// Reads the kit's variables.
    ///
    /// # Errors
    /// The first variable that is outside of its range.
    pub fn read(env: &Environment, defaults: Defaults) -> Result<Self, ConfigError> {
        let service = env.parsed("UAIT_SERVICE", defaults.service, "[a-z][a-z0-9-]{0,62}", |s| {
            is_service_name(s).then(|| s.to_owned())
        })?;
        let default_instance = format!("{service}-{}", std::process::id());
        let instance = env.parsed("UAIT_INSTANCE", &default_instance, "1 to 128 of [A-Za-z0-9._-]", |s| {
            let fits = s.len() <= 128 && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
            fits.then(|| s.to_owned())
        })?;
        let host = env.parsed("UAIT_HOST", "127.0.0.1", "an IP address", |s| s.parse().ok())?;
        let port = env.number("UAIT_PORT", defaults.port, 0..=65535)?;
        let default_http = if port == 0 { 0 } else { port.checked_add(10_000).unwrap_or(0) };
        let http_port = env.number("UAIT_HTTP_PORT", default_http, 0..=65535)?;
        let mesh = env.parsed("UAIT_MESH", "127.0.0.1:10001", "host:port", |s| host_port(s).then(|| s.to_owned()))?;
        let nats_url =
            env.parsed("UAIT_NATS_URL", "nats://127.0.0.1:4222", "nats://host:port, or off", |s| match s {
                "off" => Some(None),
                _ => s.strip_prefix("nats://").is_some_and(host_port).then(|| Some(s.to_owned())),
            })?;
        let lease = env.word("UAIT_LEASE", true, &[("on", true), ("off", false)])?;
        let zone =
            env.parsed("UAIT_ZONE", "", "at most 64 characters", |s| (s.chars().count() <= 64).then(|| s.to_owned()))?;
        let levels = [
            ("debug", LogLevel::Debug),
            ("info", LogLevel::Info),
            ("warn", LogLevel::Warn),
            ("error", LogLevel::Error),
        ];
        let log_level = env.word("UAIT_LOG_LEVEL", LogLevel::Info, &levels)?;
        let drain_delay = env.milliseconds("UAIT_DRAIN_DELAY_MS", 1000, 0..=60_000)?;
        let drain_timeout = env.milliseconds("UAIT_DRAIN_TIMEOUT_MS", 10_000, 0..=600_000)?;
        let max_message_bytes = env.number("UAIT_MAX_MESSAGE_BYTES", 4_194_304, 1024..=268_435_456)?;
        let max_streams = env.number("UAIT_MAX_STREAMS", 4096, 1..=65_536)?;
        let max_inflight = env.number("UAIT_MAX_INFLIGHT", 4096, 1..=65_536)?;
        let deadline = env.milliseconds("UAIT_DEADLINE_MS", 30_000, 1..=3_600_000)?;
        let tls = read_tls(env)?;
        let otlp_endpoint = env.parsed("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317", "a URL", |s| {
            s.parse::<Uri>()
                .ok()
                .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
        })?;
        let otel_enabled = env.word("OTEL_SDK_DISABLED", true, &[("true", false), ("false", true)])?;
        let sampled_share = env.number("OTEL_TRACES_SAMPLER_ARG", 1.0, 0.0..=1.0)?;
        Ok(Self {
            service,
            instance,
            host,
            port,
            http_port,
            mesh,
            nats_url,
            lease,
            zone,
            log_level,
            drain_delay,
            drain_timeout,
            max_message_bytes,
            max_streams,
            max_inflight,
            deadline,
            tls,
            otlp_endpoint,
            otel_enabled,
            sampled_share,
        })
    }
}

/// Whether `text` is a catalogue name: `[a-z][a-z0-9-]{0,62}`.
pub fn is_service_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn host_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let named = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b));
        named && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn read_tls(env: &Environment) -> Result<Option<Tls>, ConfigError> {
    const VARIABLES: [&str; 3] = ["UAIT_TLS_CERT", "UAIT_TLS_KEY", "UAIT_TLS_CA"];
    const RANGE: &str = "paths of PEM files, all three or none";
    if VARIABLES.iter().all(|variable| env.get(variable).is_none()) {
        return Ok(None);
    }
    let read = |variable: &str| {
        let path = env.get(variable).unwrap_or("");
        std::fs::read(Path::new(path))
            .ok()
            .filter(|pem| pem.windows(11).any(|w| w == b"-----BEGIN "))
            .ok_or_else(|| refuse(variable, path, RANGE.to_owned()))
    };
    let [cert, key, ca] = VARIABLES.map(read);
    Ok(Some(Tls { cert: cert?, key: key?, ca: ca? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Defaults = Defaults { service: "echo-rust", port: 8003 };

    #[test]
    fn config_of_an_empty_environment_is_the_default() {
        let config = Config::read(&Environment::default(), DEFAULTS).unwrap();
        assert_eq!((config.service.as_str(), config.port, config.http_port), ("echo-rust", 8003, 18003));
        assert_eq!(config.instance, format!("echo-rust-{}", std::process::id()));
        assert_eq!(config.nats_url.as_deref(), Some("nats://127.0.0.1:4222"));
        assert_eq!((config.max_message_bytes, config.drain_delay), (4_194_304, Duration::from_secs(1)));
        assert!(config.lease && config.otel_enabled && config.tls.is_none());
    }

    #[test]
    fn config_http_port_that_does_not_fit_is_free() {
        let http_port = |port| Config::read(&Environment::from([("UAIT_PORT", port)]), DEFAULTS).unwrap().http_port;
        assert_eq!(http_port("60000"), 0);
        assert_eq!(http_port("0"), 0);
        assert_eq!(http_port("55535"), 65535);
    }

    #[test]
    fn config_value_outside_of_its_range_is_refused() {
        let long = "x".repeat(129);
        let refused = [
            ("UAIT_SERVICE", "Echo", "[a-z][a-z0-9-]{0,62}"),
            ("UAIT_INSTANCE", long.as_str(), "1 to 128 of [A-Za-z0-9._-]"),
            ("UAIT_INSTANCE", "a b", "1 to 128 of [A-Za-z0-9._-]"),
            ("UAIT_HOST", "localhost", "an IP address"),
            ("UAIT_PORT", "65536", "0 to 65535"),
            ("UAIT_PORT", "-1", "0 to 65535"),
            ("UAIT_HTTP_PORT", "http", "0 to 65535"),
            ("UAIT_MESH", "127.0.0.1", "host:port"),
            ("UAIT_MESH", "127.0.0.1:0", "host:port"),
            ("UAIT_NATS_URL", "127.0.0.1:4222", "nats://host:port, or off"),
            ("UAIT_LEASE", "yes", "on, off"),
            ("UAIT_ZONE", &long[..65], "at most 64 characters"),
            ("UAIT_LOG_LEVEL", "trace", "debug, info, warn, error"),
            ("UAIT_DRAIN_DELAY_MS", "60001", "0 to 60000"),
            ("UAIT_DRAIN_TIMEOUT_MS", "1.5", "0 to 600000"),
            ("UAIT_MAX_MESSAGE_BYTES", "1023", "1024 to 268435456"),
            ("UAIT_MAX_STREAMS", "0", "1 to 65536"),
            ("UAIT_MAX_INFLIGHT", "65537", "1 to 65536"),
            ("UAIT_DEADLINE_MS", "0", "1 to 3600000"),
            ("UAIT_TLS_CERT", "/nowhere.pem", "paths of PEM files, all three or none"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4317", "a URL"),
            ("OTEL_SDK_DISABLED", "1", "true, false"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.1", "0 to 1"),
            ("OTEL_TRACES_SAMPLER_ARG", "NaN", "0 to 1"),
        ];
        for (variable, value, range) in refused {
            let error = Config::read(&Environment::from([(variable, value)]), DEFAULTS).unwrap_err();
            assert_eq!(error.to_string(), format!("{variable}={value}: must be {range}"));
        }
    }

    #[test]
    fn config_tls_wants_all_three_files() {
        let dir = tempfile::tempdir().unwrap();
        let pem = dir.path().join("a.pem");
        std::fs::write(&pem, "-----BEGIN CERTIFICATE-----\n").unwrap();
        let pem = pem.to_str().unwrap();
        let all = [("UAIT_TLS_CERT", pem), ("UAIT_TLS_KEY", pem), ("UAIT_TLS_CA", pem)];
        assert!(Config::read(&Environment::from(all), DEFAULTS).unwrap().tls.is_some());
        let error = Config::read(&Environment::from([all[0], all[1]]), DEFAULTS).unwrap_err();
        assert_eq!(error.variable, "UAIT_TLS_CA");
    }
}
