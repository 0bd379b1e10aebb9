//! What a server must prove: a certificate chain to a known authority. There is no switch to skip it.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The further authorities are no PEM certificates.
    #[error("the extra authorities are no PEM certificates")]
    Authorities,
    /// The cryptography refuses its own defaults.
    #[error("no usable TLS protocol version")]
    Protocol(#[source] rustls::Error),
}

/// Returns a configuration that trusts the Mozilla authorities and those in `extra_authorities` (PEM).
pub fn client_config(extra_authorities: Option<&[u8]>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(pem) = extra_authorities {
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| TlsError::Authorities)?;
            roots.add(certificate).map_err(|_| TlsError::Authorities)?;
            found += 1;
        }
        if found == 0 {
            return Err(TlsError::Authorities);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Protocol)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
