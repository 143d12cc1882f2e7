//! The HTTP side of the tracker: one request and one answer for each connection.
//!
//! Invariant: at most [`MOST_CONNECTIONS`] connections are open (fewer where few files may be), each for at most [`PATIENCE`] and
//! with one bounded head in memory; who comes beyond that waits in the system's queue.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time;
use ripcurrent_proto::tracker::registry::{Registry, Settings};
use ripcurrent_proto::tracker::service;
use ripcurrent_proto::wire::http::{RequestHead, RequestReader};
use ripcurrent_runtime_uring::Descriptors;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::clock;
use crate::exit::{Exit, Failure};
use crate::stop::Stop;

/// The most connections at once.
const MOST_CONNECTIONS: usize = 512;
/// The longest a request and its answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a request to stop is looked for.
const TICK: Duration = Duration::from_millis(100);
/// How long to wait after the system refused a connection, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes received in one step.
const STEP: usize = 2048;

/// A tracker that listens and does not answer yet.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    settings: Settings,
    rng: Rng,
}

impl Server {
    /// Listens at `addr`, its port 0 for a free one; peers are told to come back each `interval`.
    pub(crate) fn bind(addr: SocketAddr, interval: Duration, rng: Rng) -> Result<Self, Failure> {
        let bind = || {
            let listener = TcpListener::bind(addr)?;
            listener.set_nonblocking(true)?;
            let addr = listener.local_addr()?;
            Ok((listener, addr))
        };
        let (listener, addr) = bind().map_err(|error: io::Error| Failure::bind(addr, error))?;
        let defaults = Settings::default();
        let settings = Settings {
            interval,
            min_interval: defaults.min_interval.min(interval),
            // Twice missed is gone; a little late is not.
            expiry: interval * 2 + defaults.min_interval,
            ..defaults
        };
        Ok(Server {
            listener,
            addr,
            settings,
            rng,
        })
    }

    /// Where peers announce.
    pub(crate) fn announce_url(&self) -> String {
        format!("http://{}/announce", self.addr)
    }

    /// Answers until asked to stop; how many requests were answered.
    pub(crate) fn run(self, stop: &Stop) -> Result<u64, Failure> {
        let failed = |error: io::Error| {
            Failure::new(Exit::Internal, "the tracker cannot run").because(error)
        };
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().map_err(failed)?;
        LocalSet::new()
            .block_on(&runtime, self.accept_until(stop))
            .map_err(failed)
    }

    async fn accept_until(self, stop: &Stop) -> io::Result<u64> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let desk = Rc::new(RefCell::new(Desk {
            registry: Registry::new(self.settings, self.rng),
            begun: clock::now(),
            answered: 0,
        }));
        let most = MOST_CONNECTIONS.min(Descriptors::of_process().connections);
        let mut connections = JoinSet::new();
        let mut complained = false;
        while !stop.is_asked() {
            while connections.try_join_next().is_some() {}
            if connections.len() >= most {
                connections.join_next().await;
                continue;
            }
            match tokio::time::timeout(TICK, listener.accept()).await {
                Ok(Ok((stream, from))) => {
                    complained = false;
                    let answer = converse(stream, from, Rc::clone(&desk));
                    connections.spawn_local(tokio::time::timeout(PATIENCE, answer));
                }
                Ok(Err(error)) => {
                    // Once until it is over: the same peer may wait for minutes.
                    if !complained {
                        tracing::warn!("a connection could not be accepted: {error}");
                    }
                    complained = true;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(_) => {}
            }
        }
        connections.shutdown().await;
        let answered = desk.borrow().answered;
        Ok(answered)
    }
}

/// What all connections share.
struct Desk {
    registry: Registry,
    begun: Instant,
    answered: u64,
}

impl Desk {
    fn answer(&mut self, request: &RequestHead, from: SocketAddr) -> Vec<u8> {
        let elapsed = self.begun.elapsed();
        let now = time::Instant::ZERO + elapsed;
        self.answered += 1;
        service::respond(&mut self.registry, now, from.ip(), request)
    }
}

/// Reads one request and answers it. What the far end does wrong concerns nobody else.
async fn converse(
    mut stream: TcpStream,
    from: SocketAddr,
    desk: Rc<RefCell<Desk>>,
) -> io::Result<()> {
    let mut reader = RequestReader::new();
    let mut step = [0; STEP];
    let response = loop {
        let read = stream.read(&mut step).await?;
        if read == 0 {
            return Ok(());
        }
        match reader.push(&mut &step[..read]) {
            Ok(None) => {}
            Ok(Some(request)) => break desk.borrow_mut().answer(&request, from),
            Err(error) => {
                tracing::debug!("{from} sent no request: {error}");
                break service::respond_to_noise();
            }
        }
    };
    stream.write_all(&response).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::thread;

    fn ask(addr: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        String::from_utf8_lossy(&response).into_owned()
    }

    /// Announces are answered while others connect and say nothing, noise is told so, and the
    /// tracker ends when asked though silent clients are still there.
    #[test]
    fn silent_and_noisy_clients_hold_up_nobody() {
        let rng = Rng::from_seed([1; 32]);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(any, Duration::from_secs(7), rng).unwrap();
        let addr = server.addr;
        let stop = Stop::default();
        let answered = thread::scope(|scope| {
            let running = scope.spawn(|| server.run(&stop));
            let silent: Vec<TcpStream> =
                (0..50).map(|_| TcpStream::connect(addr).unwrap()).collect();
            let hash = "%01".repeat(20);
            let request = format!(
                "GET /announce?info_hash={hash}&peer_id={hash}&port=1&left=0 HTTP/1.1\r\nHost: t\r\n\r\n"
            );
            let response = ask(addr, &request);
            assert!(
                response.starts_with("HTTP/1.1 200") && response.contains("8:intervali7e"),
                "{response}"
            );
            assert!(ask(addr, "noise\r\n\r\n").starts_with("HTTP/1.1 400"));
            assert!(ask(addr, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
            stop.ask();
            let answered = running.join().unwrap().unwrap();
            drop(silent);
            answered
        });
        assert_eq!(answered, 2, "noise is no request");
    }

    /// A port that is taken is the user's to change.
    #[test]
    fn a_taken_port_is_told() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let rng = || Rng::from_seed([1; 32]);
        let first = Server::bind(any, Duration::from_secs(7), rng()).unwrap();
        let second = Server::bind(first.addr, Duration::from_secs(7), rng());
        assert_eq!(second.unwrap_err().exit(), Exit::Usage);
    }
}
