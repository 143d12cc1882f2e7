//! Whom to believe.

use std::io;
use std::sync::Arc;
use std::thread;

use ripcurrent_proto::api::{EndReason, TlsError};
use rustls::client::{ClientConfig, Resumption};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{RootCertStore, crypto};
use tokio::sync::{OnceCell, oneshot};

use super::Session;
use crate::errno;

/// Certificates of authorities that are believed besides those of the system.
#[derive(Clone, Debug, Default)]
pub struct Roots(pub(super) Vec<CertificateDer<'static>>);

/// Why a file of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadRoots {
    /// There is none in it.
    #[error("it holds no certificate (PEM, `-----BEGIN CERTIFICATE-----`)")]
    None,
    /// It is broken as a text.
    #[error("it is not PEM: {0}")]
    Pem(pem::Error),
    /// One of them is no certificate.
    #[error("its certificate number {number} cannot be read")]
    Certificate {
        /// Counted from 1.
        number: usize,
    },
}

impl Roots {
    /// Reads one or several certificates in PEM; whatever else is in the file is passed over.
    ///
    /// # Errors
    /// If there is none, or one that cannot be read.
    pub fn from_pem(text: &[u8]) -> Result<Self, BadRoots> {
        let mut roots = Vec::new();
        let mut store = RootCertStore::empty();
        for (number, one) in (1..).zip(CertificateDer::pem_slice_iter(text)) {
            let one = one.map_err(BadRoots::Pem)?;
            let readable = store.add(one.clone());
            readable.map_err(|_| BadRoots::Certificate { number })?;
            roots.push(one);
        }
        match roots.is_empty() {
            true => Err(BadRoots::None),
            false => Ok(Roots(roots)),
        }
    }

    /// Believes those of `more` as well.
    pub fn extend(&mut self, more: Roots) {
        self.0.extend(more.0);
    }
}

/// What certificates are verified by.
#[derive(Clone)]
pub(crate) struct Believed(Arc<ClientConfig>);

impl Believed {
    /// Those of the system, as far as they can be read, and `extra`. Takes some milliseconds, for
    /// files may be slow.
    ///
    /// # Errors
    /// If there are none.
    pub(crate) fn read(extra: Roots) -> Result<Self, TlsError> {
        config(all(extra)).map(Believed)
    }

    /// The beginning of a conversation with the server whose certificate is valid for `name`.
    ///
    /// # Errors
    /// If no certificate can be.
    pub(crate) fn begin(&self, name: &str) -> Result<Session, TlsError> {
        Session::new(Arc::clone(&self.0), name)
    }
}

/// [`Believed`], made when it is first needed: most runs need none.
pub(crate) struct Trust {
    extra: Roots,
    believed: OnceCell<Believed>,
}

impl Trust {
    pub(crate) fn new(extra: Roots) -> Self {
        let believed = OnceCell::new();
        Trust { extra, believed }
    }

    /// The beginning of a conversation with the server whose certificate is valid for `name`.
    ///
    /// # Errors
    /// If nothing can be verified on this system, or not this name. The next call tries again.
    pub(crate) async fn begin(&self, name: &str) -> Result<Session, EndReason> {
        let believed = self.believed.get_or_try_init(|| self.make()).await?;
        believed.begin(name).map_err(EndReason::Tls)
    }

    /// Reads the roots on a thread of its own.
    async fn make(&self) -> Result<Believed, EndReason> {
        let (done, made) = oneshot::channel();
        let extra = self.extra.clone();
        let thread = thread::Builder::new().name("ripcurrent-roots".into());
        let started = thread.spawn(move || {
            // Nobody may be waiting any more.
            let _ = done.send(Believed::read(extra));
        });
        let failed = |error: io::Error| EndReason::Failed(errno::io_error(&error));
        started.map_err(failed)?;
        let made = made.await.map_err(|lost| failed(io::Error::other(lost)))?;
        made.map_err(EndReason::Tls)
    }
}

/// Those of the system, as far as they can be read, and `extra`.
fn all(extra: Roots) -> RootCertStore {
    let mut store = RootCertStore::empty();
    // One bad file among hundreds is no reason to believe nobody; without any it is told below.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store.add_parsable_certificates(extra.0);
    store
}

/// How to speak and whom to believe.
pub(super) fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, TlsError> {
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for all versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
