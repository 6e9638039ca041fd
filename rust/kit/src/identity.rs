//! On whose behalf a call is made.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Header of the tenant.
pub const TENANT: HeaderName = HeaderName::from_static("x-uait-tenant");
/// Header of the subject.
pub const SUBJECT: HeaderName = HeaderName::from_static("x-uait-subject");
/// Header of the scopes.
pub const SCOPES: HeaderName = HeaderName::from_static("x-uait-scopes");

/// Tenant, subject and scopes of a caller. Empty in services that are told to be tenantless.
///
/// The texts share the bytes of the request's headers, so that reading an identity allocates nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    tenant: Option<HeaderValue>,
    subject: Option<HeaderValue>,
    scopes: Option<HeaderValue>,
}

impl Identity {
    /// Reads an identity; `None` without a valid tenant, or when the subject is longer than 256 characters.
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let tenant = headers.get(TENANT).filter(|value| is_tenant(value.as_bytes()))?;
        let subject = headers.get(SUBJECT);
        if subject.is_some_and(|s| s.len() > 256 && text(Some(s)).chars().count() > 256) {
            return None;
        }
        Some(Self { tenant: Some(tenant.clone()), subject: subject.cloned(), scopes: headers.get(SCOPES).cloned() })
    }

    /// The identity of somebody who acts for a tenant, such as the handler of an event; `None` if it is no tenant.
    pub fn of_tenant(tenant: &str) -> Option<Self> {
        let value = is_tenant(tenant.as_bytes())
            .then(|| HeaderValue::from_maybe_shared(Bytes::copy_from_slice(tenant.as_bytes())));
        Some(Self { tenant: Some(value?.ok()?), ..Self::default() })
    }

    /// The tenant; empty in a tenantless call.
    pub fn tenant(&self) -> &str {
        text(self.tenant.as_ref())
    }

    /// The tenant, shared and not copied.
    pub(crate) fn shared_tenant(&self) -> Tenant {
        Tenant(self.tenant.clone())
    }

    /// The subject; empty when the caller sent none.
    pub fn subject(&self) -> &str {
        text(self.subject.as_ref())
    }

    /// The scopes, in the order sent.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        text(self.scopes.as_ref()).split(' ').filter(|scope| !scope.is_empty())
    }

    /// Adds the identity to the headers of an outgoing call, leaving what is there already.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        for (name, value) in [(TENANT, &self.tenant), (SUBJECT, &self.subject), (SCOPES, &self.scopes)] {
            if let Some(value) = value {
                headers.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
}

/// A tenant for keeps; empty where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tenant(Option<HeaderValue>);

impl Tenant {
    pub(crate) fn as_str(&self) -> &str {
        text(self.0.as_ref())
    }
}

/// Whether a tenant is `[a-z0-9][a-z0-9-]{0,62}`.
pub fn is_tenant(tenant: &[u8]) -> bool {
    (1..=63).contains(&tenant.len())
        && tenant[0] != b'-'
        && tenant.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

fn text(value: Option<&HeaderValue>) -> &str {
    value.and_then(|v| std::str::from_utf8(v.as_bytes()).ok()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn identity_of_full_headers_has_all_parts() {
        let identity = Identity::of_headers(&headers(&[
            ("x-uait-tenant", "globex"),
            ("x-uait-subject", "user:7"),
            ("x-uait-scopes", "echo.read echo.write"),
        ]))
        .unwrap();
        assert_eq!((identity.tenant(), identity.subject()), ("globex", "user:7"));
        assert_eq!(identity.scopes().collect::<Vec<_>>(), ["echo.read", "echo.write"]);
    }

    #[test]
    fn identity_without_valid_tenant_is_none() {
        let long = "a".repeat(64);
        for tenant in ["", "../etc", "Acme", "-a", "a b", long.as_str()] {
            assert_eq!(Identity::of_headers(&headers(&[("x-uait-tenant", tenant)])), None, "{tenant}");
        }
        assert_eq!(Identity::of_headers(&HeaderMap::new()), None);
        assert!(Identity::of_headers(&headers(&[("x-uait-tenant", &long[..63])])).is_some());
    }

    #[test]
    fn identity_with_long_subject_is_none() {
        let subject =
            |n: usize| Identity::of_headers(&headers(&[("x-uait-tenant", "a"), ("x-uait-subject", &"ä".repeat(n))]));
        assert!(subject(256).is_some());
        assert!(subject(257).is_none());
    }

    #[test]
    fn identity_added_to_headers_keeps_what_is_there() {
        let mut outgoing = headers(&[("x-uait-tenant", "explicit")]);
        let identity = Identity::of_headers(&headers(&[("x-uait-tenant", "acme"), ("x-uait-subject", "me")])).unwrap();
        identity.add_to(&mut outgoing);
        assert_eq!((&outgoing[TENANT], &outgoing[SUBJECT]), (&"explicit".parse().unwrap(), &"me".parse().unwrap()));
    }
}
