//! Mutual TLS: both sides show a certificate of the mesh's authority.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::Error;
use crate::config::Tls;

/// What accepts connections with these certificates.
pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, Error> {
    let unusable = |variable: &str, error: &dyn std::error::Error| Error::Setup(format!("{variable}: {error}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for ca in certificates(&tls.ca).map_err(|e| unusable("UAIT_TLS_CA", &e))? {
        roots.add(ca).map_err(|e| unusable("UAIT_TLS_CA", &e))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| unusable("UAIT_TLS_CA", &e))?;
    let chain = certificates(&tls.cert).map_err(|e| unusable("UAIT_TLS_CERT", &e))?;
    let key = PrivateKeyDer::from_pem_slice(&tls.key).map_err(|e| unusable("UAIT_TLS_KEY", &e))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable("UAIT_TLS_CERT", &e))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|e| unusable("UAIT_TLS_CERT", &e))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_slice_iter(pem).collect()
}
