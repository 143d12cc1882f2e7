//! The far end of TLS: an authority of our own, certificates of every kind, and a terminal that
//! takes protected connections and passes on what is said.

#![allow(dead_code, reason = "each test uses its own part of this")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Valid {
    Now,
    Before,
    Later,
}

/// Vouches for servers.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "An authority of tests");
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its certificate, as people keep them.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// What a server with these names (or literal addresses) proves them by.
    pub(crate) fn server(&self, names: &[&str], valid: Valid) -> Arc<ServerConfig> {
        let names: Vec<String> = names.iter().copied().map(String::from).collect();
        let mut params = CertificateParams::new(names).unwrap();
        match valid {
            Valid::Now => {}
            Valid::Before => params.not_after = date_time_ymd(2001, 1, 1),
            Valid::Later => params.not_before = date_time_ymd(3001, 1, 1),
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let chain = vec![certificate.der().clone()];
        let builder = builder.with_no_client_auth();
        let mut config = builder.with_single_cert(chain, key.into()).unwrap();
        // Tickets that come after a client has closed make the system forget what it sent.
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }
}

/// Takes protected connections and passes what is said on to another address, in the open. It is
/// gone when dropped.
pub(crate) struct Terminal {
    pub(crate) addr: SocketAddr,
    _open: oneshot::Sender<()>,
}

impl Terminal {
    /// Listens at `ip`; what comes goes to `behind`.
    pub(crate) fn new(server: Arc<ServerConfig>, ip: IpAddr, behind: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind((ip, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let (open, closed) = oneshot::channel::<()>();
        thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_io().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::spawn(serve(listener, TlsAcceptor::from(server), behind));
                let _ = closed.await;
            });
        });
        Terminal { addr, _open: open }
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, behind: SocketAddr) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(pass_on(stream, acceptor.clone(), behind));
    }
}

/// What goes wrong is seen at the ends.
async fn pass_on(stream: TcpStream, acceptor: TlsAcceptor, behind: SocketAddr) -> io::Result<()> {
    let mut protected = acceptor.accept(stream).await?;
    let mut open = TcpStream::connect(behind).await?;
    io::copy_bidirectional(&mut protected, &mut open).await?;
    Ok(())
}
