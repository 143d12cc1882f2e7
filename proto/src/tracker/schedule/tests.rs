//! Scenes with scripted trackers in virtual time.

use super::*;
use crate::base::io::{IoErrorKind, TlsError};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use core::net::Ipv4Addr;

use crate::wire::http::{RequestReader, encode_response};
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

const FAILED: IoError = IoError {
    kind: IoErrorKind::Refused,
    code: 111,
};

/// How a tracker at one port behaves.
#[derive(Clone, Debug)]
enum Tracks {
    /// Answers with this body.
    Body(&'static str),
    /// Answers with these bytes, whatever they are, and closes.
    Raw(String),
    /// Does not listen.
    Refuses,
    /// Listens and says nothing.
    IsSilent,
    /// Cannot prove who it is.
    IsUntrusted(TlsError),
}

/// An announce that arrived.
#[derive(Clone, Debug)]
struct Asked {
    at: Instant,
    to: SocketAddr,
    announce: Announce,
}

/// An announcer, its trackers, and everything that passed between them.
struct World {
    announcer: Announcer,
    now: Instant,
    trackers: BTreeMap<SocketAddr, Tracks>,
    names: BTreeMap<&'static str, Vec<IpAddr>>,
    open: Option<SocketAddr>,
    dialled: Vec<SocketAddr>,
    /// What each certificate had to be valid for.
    protected: Vec<Option<String>>,
    asked: Vec<Asked>,
    reports: Vec<(String, Result<Reply, AnnounceError>)>,
}

const IDENTITY: Identity = Identity {
    info_hash: [0xaa; 20],
    peer_id: *b"-RC0100-abcdefghijkl",
    user_agent: "Ripcurrent test",
};

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl World {
    fn new(tiers: &[&[&str]]) -> Self {
        Self::seeded(tiers, 1, false)
    }

    fn seeded(tiers: &[&[&str]], seed: u8, loopback_only: bool) -> Self {
        let urls = |tier: &&[&str]| tier.iter().map(ToString::to_string).collect();
        let tiers: Vec<Vec<String>> = tiers.iter().map(urls).collect();
        let rng = Rng::from_seed([seed; 32]);
        World {
            announcer: Announcer::new(&tiers, IDENTITY, rng, loopback_only),
            now: Instant::ZERO + seconds(1_000),
            trackers: BTreeMap::new(),
            names: BTreeMap::new(),
            open: None,
            dialled: Vec::new(),
            protected: Vec::new(),
            asked: Vec::new(),
            reports: Vec::new(),
        }
    }

    fn tracks(&mut self, port: u16, how: Tracks) -> &mut Self {
        self.trackers.insert(local(port), how);
        self
    }

    /// Starts, and lets happen what happens at once.
    fn start(&mut self) -> &mut Self {
        self.announcer.start(self.now);
        self.run(Duration::ZERO)
    }

    /// Lets time pass, the announcer called no sooner than it asks for.
    fn run(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        self.react();
        while let Some(next) = self.announcer.poll_timeout()
            && next <= end
        {
            self.now = self.now.max(next);
            self.announcer.handle_timeout(self.now);
            self.react();
        }
        self.now = end;
        self
    }

    fn poll(&mut self) -> Option<Action> {
        let progress = Progress {
            uploaded: 11,
            downloaded: 22,
            left: 33,
            port: 6881,
            want_peers: 77,
        };
        self.announcer.poll(self.now, &progress)
    }

    /// Does all that the announcer wants, as its trackers would have it.
    fn react(&mut self) {
        while let Some(action) = self.poll() {
            let now = self.now;
            match action {
                Action::Resolve { host } => {
                    let found = self.names.get(&host[..]).cloned();
                    let none = IoError {
                        kind: IoErrorKind::NotFound,
                        code: 0,
                    };
                    self.announcer.resolved(now, found.as_deref().ok_or(none));
                }
                Action::Connect { to, tls } => {
                    assert_eq!(self.open.replace(to), None, "one connection at a time");
                    self.dialled.push(to);
                    self.protected.push(tls.as_deref().map(String::from));
                    match self.trackers.get(&to) {
                        None | Some(Tracks::Refuses) => self.end(EndReason::Failed(FAILED)),
                        Some(Tracks::IsUntrusted(error)) => self.end(EndReason::Tls(*error)),
                        Some(_) => self.announcer.connected(now),
                    }
                }
                Action::Send { bytes } => self.serve(&bytes),
                Action::Disconnect => self.end_of_connection(),
                Action::Report { url, result } => self.reports.push((url, result)),
            }
        }
    }

    fn serve(&mut self, bytes: &[u8]) {
        let to = self.open.expect("a request goes over a connection");
        let head = RequestReader::new().push(&mut &bytes[..]).unwrap().unwrap();
        let (_, query) = head.target.split_once('?').unwrap_or_default();
        if let Ok(announce) = Announce::from_query(query) {
            let at = self.now;
            self.asked.push(Asked { at, to, announce });
        }
        match self.trackers[&to].clone() {
            Tracks::Body(body) => {
                let mut response = Vec::new();
                encode_response(200, "text/plain", body.as_bytes(), &mut response);
                self.announcer.received(self.now, &response);
            }
            Tracks::Raw(response) => {
                self.announcer.received(self.now, response.as_bytes());
                self.end(EndReason::Eof);
            }
            Tracks::IsSilent | Tracks::Refuses | Tracks::IsUntrusted(_) => {}
        }
    }

    fn end(&mut self, reason: EndReason) {
        self.announcer.ended(self.now, reason);
        self.end_of_connection();
    }

    fn end_of_connection(&mut self) {
        assert!(self.open.take().is_some(), "there is a connection to close");
        self.announcer.closed(self.now);
    }

    /// The ports asked so far, with what was told.
    fn told(&self) -> Vec<(u16, Option<Event>)> {
        let asked = self.asked.iter();
        asked
            .map(|asked| (asked.to.port(), asked.announce.event))
            .collect()
    }

    fn last_error(&self) -> AnnounceError {
        let (_, result) = self.reports.last().expect("something was reported");
        result.clone().expect_err("a failure was reported")
    }
}

const A: &str = "http://127.0.0.1:1/announce";
const B: &str = "http://127.0.0.1:2/announce";
const C: &str = "http://127.0.0.1:3/announce";

const EMPTY: Tracks = Tracks::Body("d8:intervali1800e5:peers0:e");

/// The first announce says `started` and everything a tracker needs; the peers come back.
#[test]
fn the_first_announce_joins_the_swarm() {
    let mut world = World::new(&[&["http://127.0.0.1:1/announce?pass=x"]]);
    let one_peer = "d8:intervali1800e5:peers6:\x7f\0\0\x02\x1a\x7fe";
    world.tracks(1, Tracks::Body(one_peer)).start();
    assert_eq!(world.told(), [(1, Some(Event::Started))]);
    let announce = &world.asked[0].announce;
    assert_eq!(announce.info_hash, IDENTITY.info_hash);
    assert_eq!(announce.peer_id, IDENTITY.peer_id);
    assert_eq!((announce.port, announce.want_peers), (6881, Some(77)));
    let bytes = (announce.uploaded, announce.downloaded, announce.left);
    assert_eq!(bytes, (11, 22, 33));
    assert!(announce.compact && announce.key.is_some());
    let (url, reply) = &world.reports[0];
    assert_eq!(url, "http://127.0.0.1:1/announce?pass=x");
    let peers = &reply.as_ref().unwrap().peers;
    assert_eq!(*peers, ["127.0.0.2:6783".parse().unwrap()]);
}

/// Regular announces come at the interval or a little later, never sooner, and tell no event.
#[test]
fn the_interval_is_obeyed() {
    let mut world = World::new(&[&[A]]);
    world.tracks(1, EMPTY).start().run(seconds(4 * 1_890));
    let expected = [Some(Event::Started), None, None, None, None];
    assert_eq!(world.told(), expected.map(|event| (1, event)));
    for pair in world.asked.windows(2) {
        let pause = pair[1].at.since(pair[0].at);
        assert!(
            pause >= seconds(1_800) && pause <= seconds(1_890),
            "{pause:?}"
        );
    }
    let keys: Vec<_> = world.asked.iter().map(|asked| asked.announce.key).collect();
    assert_eq!(keys, vec![keys[0]; 5]);
}

/// A tracker that wants to be asked all the time, or never again, is asked within reason.
#[test]
fn silly_intervals_are_bounded() {
    for (body, least, most) in [
        ("d8:intervali0ee", 10, 11),
        ("d8:intervali4294967295ee", 86_400, 90_720),
        ("d8:intervali-5ee", 1_800, 1_890),
        ("de", 1_800, 1_890),
        ("d8:intervali20e12:min intervali100ee", 100, 105),
    ] {
        let mut world = World::new(&[&[A]]);
        world
            .tracks(1, Tracks::Body(body))
            .start()
            .run(seconds(most));
        let second = world.asked.get(1).expect(body).at;
        let pause = second.since(world.asked[0].at);
        assert!(pause >= seconds(least), "{body}: {pause:?}");
    }
}

/// With too few peers the tracker is asked again before its interval, but not before its
/// `min interval`, however often somebody hurries.
#[test]
fn hurry_never_undercuts_the_min_interval() {
    let mut world = World::new(&[&[A], &[B]]);
    world.tracks(2, EMPTY);
    let body = "d8:intervali1800e12:min intervali300ee";
    world.tracks(1, Tracks::Body(body)).start();
    for _ in 0..650 {
        world.announcer.hurry(world.now);
        world.run(seconds(1));
    }
    assert_eq!(
        world.told(),
        [(1, Some(Event::Started)), (1, None), (1, None)]
    );
    for pair in world.asked.windows(2) {
        assert_eq!(pair[1].at.since(pair[0].at), seconds(300));
    }
}

/// A download that ends here is told once, at once, though the interval is not over.
#[test]
fn completed_is_told_once() {
    let mut world = World::new(&[&[A]]);
    world.tracks(1, EMPTY).start().run(seconds(5));
    world.announcer.completed(world.now);
    world.run(seconds(0));
    world.announcer.completed(world.now);
    world.run(seconds(2_000));
    let told = [Some(Event::Started), Some(Event::Completed), None];
    assert_eq!(world.told(), told.map(|event| (1, event)));
    assert_eq!(world.asked[1].at.since(world.asked[0].at), seconds(5));
}

/// A download that ends while an announce is on its way is told when that is over.
#[test]
fn completed_waits_for_the_exchange_in_flight() {
    let mut world = World::new(&[&[A]]);
    world.tracks(1, Tracks::IsSilent).start();
    world.announcer.completed(world.now);
    world.tracks(1, EMPTY);
    let mut response = Vec::new();
    encode_response(200, "text/plain", b"de", &mut response);
    world.announcer.received(world.now, &response);
    world.run(seconds(0));
    let told = [Some(Event::Started), Some(Event::Completed)];
    assert_eq!(world.told(), told.map(|event| (1, event)));
}

/// A tracker that first hears of us when we have everything counts no download.
#[test]
fn a_tracker_met_after_the_end_is_not_told_completed() {
    let mut world = World::new(&[&[A], &[B]]);
    world.tracks(1, EMPTY).tracks(2, EMPTY).start();
    world.tracks(1, Tracks::Refuses);
    world.announcer.completed(world.now);
    world.run(seconds(2_000));
    let asked_b = world.told().into_iter().filter(|(port, _)| *port == 2);
    let events: Vec<_> = asked_b.map(|(_, event)| event).collect();
    assert_eq!(events, [Some(Event::Started), None]);
}

/// The tracker in use is told `completed` after it has recovered from a failure.
#[test]
fn completed_is_told_after_a_failure() {
    let mut world = World::new(&[&[A]]);
    world.tracks(1, EMPTY).start();
    world.tracks(1, Tracks::Refuses);
    world.announcer.completed(world.now);
    world.run(seconds(1));
    world.tracks(1, EMPTY).run(seconds(15));
    assert_eq!(world.told()[1..], [(1, Some(Event::Completed))]);
}

/// Who leaves says so to every tracker that knows it, and wants no peers.
#[test]
fn stopped_is_told_to_all_that_were_told_started() {
    let mut world = World::new(&[&[A], &[B], &[C]]);
    world.tracks(2, EMPTY).tracks(3, EMPTY).start();
    world.tracks(1, EMPTY).run(seconds(1_890));
    let started = Some(Event::Started);
    assert_eq!(world.told(), [(2, started), (1, started)]);
    assert!(!world.announcer.is_stopped());
    world.announcer.stop(world.now);
    assert!(!world.announcer.is_stopped());
    world.run(seconds(0));
    let stopped = Some(Event::Stopped);
    assert_eq!(world.told()[2..], [(1, stopped), (2, stopped)]);
    assert!(
        world.asked[2..]
            .iter()
            .all(|asked| asked.announce.want_peers == Some(0))
    );
    assert!(world.announcer.is_stopped());
    assert_eq!(world.announcer.poll_timeout(), None);
}

/// A tracker that does not answer the goodbye holds nobody up for longer than two seconds.
#[test]
fn a_silent_tracker_does_not_delay_the_leave() {
    let mut world = World::new(&[&[A], &[B]]);
    world.tracks(1, EMPTY).start();
    world.tracks(1, Tracks::IsSilent);
    world.announcer.stop(world.now);
    world.run(Duration::from_millis(1_999));
    assert_eq!(world.told()[1..], [(1, Some(Event::Stopped))]);
    assert!(!world.announcer.is_stopped());
    world.run(Duration::from_millis(1));
    assert!(world.announcer.is_stopped() && world.open.is_none());
}

/// A tracker whose answer to `started` is still on its way is told `stopped` as well.
#[test]
fn an_announce_in_flight_is_taken_back() {
    let mut world = World::new(&[&[A]]);
    world.tracks(1, Tracks::IsSilent).start();
    world.announcer.stop(world.now);
    world.tracks(1, EMPTY).run(seconds(0));
    assert_eq!(world.told()[1..], [(1, Some(Event::Stopped))]);
    assert!(world.announcer.is_stopped());
}

/// Who never got through says no goodbye; who joins again says `started` again.
#[test]
fn a_leave_ends_what_was_begun_and_no_more() {
    let mut world = World::new(&[&[A]]);
    world.tracks(1, Tracks::Refuses).start();
    world.announcer.stop(world.now);
    world.run(seconds(0));
    assert!(world.announcer.is_stopped() && world.asked.is_empty());
    world.tracks(1, EMPTY).run(seconds(60));
    world.start();
    assert_eq!(world.told(), [(1, Some(Event::Started))]);
}

/// Tiers are tried from the top at every announce, and the first answer is enough.
#[test]
fn tiers_are_tried_in_order() {
    let mut world = World::new(&[&[A], &[B], &[C]]);
    world.tracks(2, EMPTY).tracks(3, EMPTY).start();
    assert_eq!(world.dialled, [local(1), local(2)]);
    assert_eq!(world.reports.len(), 2);
    world.dialled.clear();
    world.run(seconds(1_890));
    assert_eq!(world.dialled, [local(1), local(2)]);
}

/// Within a tier the order is shuffled once, and the tracker that answers moves to the front.
#[test]
fn within_a_tier_the_one_that_answers_comes_first() {
    let mut first_dialled = BTreeMap::new();
    for seed in 0..60 {
        let mut world = World::seeded(&[&[A, B, C]], seed, false);
        world.tracks(3, EMPTY).start();
        *first_dialled.entry(world.dialled[0].port()).or_insert(0) += 1;
        world.dialled.clear();
        world.run(seconds(1_890));
        assert_eq!(world.dialled, [local(3)]);
    }
    assert_eq!(first_dialled.len(), 3, "{first_dialled:?}");
}

/// Failures are followed by pauses: about ten seconds at first, twice that each time, an hour at
/// the most.
#[test]
fn failures_back_off_to_an_hour() {
    let mut pauses = Vec::new();
    let mut world = World::new(&[&[A]]);
    world.start();
    for _ in 0..14 {
        let next = world.announcer.poll_timeout().expect("another try");
        let pause = next.since(world.now);
        pauses.push(pause.as_secs());
        world.run(pause);
    }
    assert_eq!(world.reports.len(), 15);
    assert!((5..=15).contains(&pauses[0]), "{pauses:?}");
    for (at, pause) in pauses.iter().enumerate() {
        let middle = 10 << at.min(10);
        let range = (middle / 2).min(3_600)..=(middle * 3 / 2).min(3_600);
        assert!(range.contains(pause), "{pauses:?}");
    }
    world.tracks(1, EMPTY).run(seconds(3_600));
    world.tracks(1, Tracks::Refuses).run(seconds(1_890));
    let fresh = world.announcer.poll_timeout().unwrap();
    assert!(fresh <= world.now + seconds(15), "an answer forgives all");
}

/// A refusal may say when to come again, or never to (BEP 31).
#[test]
fn a_refusal_is_taken_at_its_word() {
    let mut world = World::new(&[&[A]]);
    let busy = "d14:failure reason4:busy8:retry ini5ee";
    world.tracks(1, Tracks::Body(busy)).start();
    assert_eq!(world.last_error().to_string(), "the tracker says: busy");
    let next = world.announcer.poll_timeout().unwrap();
    assert_eq!(next.since(world.now), seconds(300));
    let gone = "d14:failure reason4:gone8:retry in5:nevere";
    world.tracks(1, Tracks::Body(gone)).run(seconds(300));
    assert_eq!(world.asked.len(), 2);
    assert_eq!(world.announcer.poll_timeout(), None);
    world.announcer.hurry(world.now);
    world.run(seconds(100_000));
    assert_eq!(world.asked.len(), 2);
}

/// A reason that comes with an error status is told; without one the status is.
#[test]
fn an_error_status_is_told() {
    let raw = |text: &str| Tracks::Raw(text.into());
    let mut world = World::new(&[&[A]]);
    let reason = "HTTP/1.1 403 No\r\n\r\nd14:failure reason9:forbiddene";
    world.tracks(1, raw(reason)).start();
    assert_eq!(
        world.last_error().to_string(),
        "the tracker says: forbidden"
    );
    for (response, error) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n<html>", "HTTP status 404"),
        ("HTTP/1.1 500 No\r\n\r\nde", "HTTP status 500"),
        ("HTTP/1.1 302 Found\r\n\r\nde", "HTTP status 302"),
        (
            "HTTP/1.1 200 OK\r\n\r\nle",
            "an answer that is not a dictionary",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nde",
            "the response was cut off",
        ),
    ] {
        let mut world = World::new(&[&[A]]);
        world.tracks(1, raw(response)).start();
        assert_eq!(world.last_error().to_string(), error);
    }
}

/// A tracker that listens and says nothing is given up after 15 seconds, and the next is tried.
#[test]
fn a_silent_tracker_is_given_up() {
    let mut world = World::new(&[&[A], &[B]]);
    world.tracks(1, Tracks::IsSilent).tracks(2, EMPTY).start();
    world.run(Duration::from_millis(14_999));
    assert_eq!(world.dialled, [local(1)]);
    world.run(Duration::from_millis(1));
    assert_eq!(world.dialled, [local(1), local(2)]);
    assert_eq!(world.reports[0].1, Err(AnnounceError::TimedOut));
}

/// The addresses of a name are tried in their order, four at the most, until one answers.
#[test]
fn the_addresses_of_a_name_are_tried_in_turn() {
    let ip = |last: u8| IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
    let at = |last: u8| SocketAddr::new(ip(last), 80);
    let mut world = World::new(&[&["http://tracker.test/announce"]]);
    world
        .names
        .insert("tracker.test", (1..=5).map(ip).collect());
    world.trackers.insert(at(2), Tracks::IsSilent);
    world.trackers.insert(at(3), EMPTY);
    world.start().run(seconds(15));
    assert_eq!(world.dialled, [at(1), at(2), at(3)]);
    assert!(world.reports.iter().all(|(_, result)| result.is_ok()));
    world.trackers.clear();
    world.dialled.clear();
    world.run(seconds(1_890));
    assert!(!world.dialled.is_empty());
    for round in world.dialled.chunks(4) {
        assert_eq!(round, [at(1), at(2), at(3), at(4)]);
    }
    assert_eq!(
        world.last_error(),
        AnnounceError::Connection(IoErrorKind::Refused)
    );
}

#[test]
fn a_name_without_an_address_is_a_failure() {
    let mut world = World::new(&[&["http://nowhere.test/"]]);
    world.start();
    let error = world.last_error().to_string();
    assert_eq!(error, "its name cannot be resolved: not found");
    world.names.insert("nowhere.test", Vec::new());
    world.run(seconds(15));
    assert_eq!(world.last_error().to_string(), error);
}

/// Bound to loopback, nothing else is dialled, whatever a URL or a name says.
#[test]
fn loopback_only_means_loopback_only() {
    let mut world = World::seeded(&[&["http://192.0.2.1/a"], &["http://t.test/a"]], 1, true);
    let outside = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
    world.names.insert("t.test", vec![outside]);
    world.start();
    assert!(world.dialled.is_empty());
    let refused = Err(AnnounceError::NotLoopback(outside));
    assert!(world.reports.iter().all(|(_, result)| *result == refused));
    assert_eq!(world.reports.len(), 2);
    world
        .names
        .insert("t.test", vec![outside, Ipv4Addr::LOCALHOST.into()]);
    world.run(seconds(15));
    assert_eq!(world.dialled, [local(80)]);
}

/// Redirects are followed, five of them, over `http` alone.
#[test]
fn redirects_are_followed_within_reason() {
    let redirect = |to: &str| {
        Tracks::Raw(format!(
            "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
        ))
    };
    let mut world = World::new(&[&["http://127.0.0.1:1/announce"]]);
    for port in 1..=5 {
        world.tracks(port, redirect(&format!("http://127.0.0.1:{}/x", port + 1)));
    }
    world.tracks(6, EMPTY).start();
    assert_eq!(world.dialled.last(), Some(&local(6)));
    assert!(world.reports[0].1.is_ok());
    assert_eq!(world.reports[0].0, "http://127.0.0.1:1/announce");

    let mut world = World::new(&[&["http://127.0.0.1:1/announce"]]);
    world.tracks(1, redirect("/again")).start();
    assert_eq!(world.dialled.len(), 6);
    assert_eq!(world.last_error(), AnnounceError::Redirects);

    let mut world = World::new(&[&["http://127.0.0.1:1/announce"]]);
    world.tracks(1, redirect("udp://127.0.0.1/")).start();
    let error = world.last_error().to_string();
    assert_eq!(error, "udp trackers are not supported yet");
}

/// An HTTPS tracker is dialled with the name that its certificate must be valid for, at the port of
/// HTTPS, and the request names the same.
#[test]
fn an_https_tracker_must_prove_its_name() {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    for (url, to, name) in [
        ("https://tracker.test/announce", at(443), "tracker.test"),
        ("https://tracker.test:7/announce", at(7), "tracker.test"),
        ("https://127.0.0.1:7/announce", at(7), "127.0.0.1"),
    ] {
        let mut world = World::new(&[&[url]]);
        world.names.insert("tracker.test", vec![to.ip()]);
        world.tracks(to.port(), EMPTY).start();
        assert_eq!(
            (&world.dialled[..], &world.protected[..]),
            (&[to][..], &[Some(name.into())][..])
        );
        assert!(world.reports[0].1.is_ok(), "{url}");
    }
}

/// Why a tracker is not trusted reaches people, with the name where that is the point; its other
/// addresses are tried first.
#[test]
fn who_is_not_trusted_is_told() {
    let addresses: Vec<IpAddr> = vec![[127, 0, 0, 1].into(), [127, 0, 0, 2].into()];
    for (error, words) in [
        (
            TlsError::WrongName,
            "the certificate is not valid for tracker.test",
        ),
        (TlsError::Expired, "the certificate has expired"),
        (
            TlsError::Alert(40),
            "it ended the protected connection (TLS alert 40)",
        ),
    ] {
        let mut world = World::new(&[&["https://tracker.test/"]]);
        world.names.insert("tracker.test", addresses.clone());
        // Nobody listens at the second address, which is told of less.
        let at = SocketAddr::new(addresses[0], 443);
        world.trackers.insert(at, Tracks::IsUntrusted(error));
        world.start();
        assert_eq!(world.dialled.len(), 2);
        assert_eq!(world.reports.len(), 1);
        assert_eq!(world.last_error().to_string(), words);
    }
}

/// A protected answer that is cut off is no answer, even where its end is told by the end of the
/// stream alone.
#[test]
fn a_protected_answer_that_is_cut_off_is_none() {
    let mut world = World::new(&[&["https://127.0.0.1:1/"]]);
    world.tracks(1, Tracks::IsSilent).start();
    let answer = b"HTTP/1.0 200 OK\r\n\r\nd8:intervali1800e5:peers0:e";
    world.announcer.received(world.now, answer);
    world.end(EndReason::Tls(TlsError::CutOff));
    world.react();
    assert_eq!(world.last_error(), AnnounceError::Tls(TlsError::CutOff));
}

/// A redirect may add protection and never takes it away, whatever it leads to.
#[test]
fn redirects_keep_protection() {
    let redirect = |to: &str| Tracks::Raw(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n"));
    let mut world = World::new(&[&["http://127.0.0.1:1/"]]);
    world.tracks(1, redirect("https://127.0.0.1:2/"));
    world.tracks(2, redirect("/again"));
    world.start();
    assert_eq!(world.last_error(), AnnounceError::Redirects);
    let name = Some("127.0.0.1".into());
    assert_eq!(world.protected[..2], [None, name.clone()]);
    assert!(world.protected[1..].iter().all(|with| *with == name));

    let mut world = World::new(&[&["https://127.0.0.1:1/"]]);
    world.tracks(1, redirect("http://127.0.0.1:2/"));
    world.tracks(2, EMPTY).start();
    assert_eq!(world.dialled, [local(1)]);
    assert_eq!(world.last_error(), AnnounceError::Downgrade);
}

/// A tracker outside cannot send us to something that listens on this host alone.
#[test]
fn no_redirect_leads_inward() {
    let outside: SocketAddr = "192.0.2.1:80".parse().unwrap();
    let inward = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/announce\r\n\r\n";
    let mut world = World::new(&[&["http://192.0.2.1/announce"]]);
    world.trackers.insert(outside, Tracks::Raw(inward.into()));
    world.tracks(1, EMPTY).start();
    assert_eq!(world.dialled, [outside]);
    let inside = Ipv4Addr::LOCALHOST.into();
    assert_eq!(world.last_error(), AnnounceError::Inward(inside));
}

/// A URL that cannot be used is told once, and the others are tried.
#[test]
fn an_unusable_url_is_told_once() {
    let mut world = World::new(&[&["udp://127.0.0.1:9/"], &["wss://127.0.0.1/", "x"], &[A]]);
    world.tracks(1, EMPTY).start().run(seconds(3 * 1_890));
    let failures = world.reports.iter().filter(|(_, result)| result.is_err());
    let mut told: Vec<_> = failures.map(|(url, _)| &url[..]).collect();
    told.sort_unstable();
    assert_eq!(told, ["udp://127.0.0.1:9/", "wss://127.0.0.1/", "x"]);
    assert_eq!(world.asked.len(), 4);
}

/// What a tracker wants to hear again it hears again.
#[test]
fn the_tracker_id_is_sent_back() {
    let mut world = World::new(&[&[A]]);
    let body = "d10:tracker id3:a&ce";
    world.tracks(1, Tracks::Body(body)).start();
    world.tracks(1, EMPTY).run(seconds(2 * 1_890));
    let ids: Vec<_> = world
        .asked
        .iter()
        .map(|a| a.announce.tracker_id.clone())
        .collect();
    let id = Some(b"a&c".to_vec());
    assert_eq!(ids, [None, id.clone(), id]);
}

/// No more trackers than the bound are used, and each once.
#[test]
fn a_torrent_of_many_trackers_uses_some() {
    let urls: Vec<String> = (1..200)
        .map(|port| format!("http://127.0.0.1:{port}/"))
        .collect();
    let tier: Vec<&str> = urls.iter().chain(&urls).map(|url| &url[..]).collect();
    let mut world = World::new(&[&tier[..], &[A]]);
    world.start();
    assert_eq!(world.dialled.len(), TRACKERS_MAX);
    world.dialled.sort_unstable();
    world.dialled.dedup();
    assert_eq!(world.dialled.len(), TRACKERS_MAX);
}

/// The answer to a lookup of before a stop is not taken for the answer to a later one.
#[test]
fn a_lookup_that_comes_late_is_not_mistaken() {
    let mut world = World::new(&[&["http://one.test:1/"]]);
    world.announcer.start(world.now);
    let one = || Action::Resolve {
        host: "one.test".into(),
    };
    assert_eq!(world.poll(), Some(one()));
    world.announcer.stop(world.now);
    assert_eq!(world.poll(), None);
    assert!(world.announcer.is_stopped());
    world.announcer.start(world.now);
    assert_eq!(world.poll(), None, "an answer is still owed");
    let stale = [IpAddr::from(Ipv4Addr::new(127, 0, 0, 9))];
    world.announcer.resolved(world.now, Ok(&stale));
    assert_eq!(world.poll(), Some(one()));
    world
        .announcer
        .resolved(world.now, Ok(&[Ipv4Addr::LOCALHOST.into()]));
    assert_eq!(
        world.poll(),
        Some(Action::Connect {
            to: local(1),
            tls: None
        })
    );
}

/// A lookup without an answer is given up as well, and the next tracker does not wait for it.
#[test]
fn a_lookup_without_an_answer_is_given_up() {
    let mut world = World::new(&[&["http://one.test:1/"], &[B]]);
    world.announcer.start(world.now);
    assert!(matches!(world.poll(), Some(Action::Resolve { .. })));
    assert_eq!(world.poll(), None);
    world.tracks(2, EMPTY).run(seconds(15));
    assert_eq!(world.told(), [(2, Some(Event::Started))]);
    assert_eq!(world.reports[0].1, Err(AnnounceError::TimedOut));
}

#[test]
fn a_torrent_without_trackers_wants_nothing() {
    let mut world = World::new(&[]);
    world.start().run(seconds(100_000));
    assert_eq!(world.announcer.poll_timeout(), None);
    world.announcer.stop(world.now);
    world.run(seconds(0));
    assert!(world.announcer.is_stopped());
}

/// One thing that happens to an announcer, sensible or not.
#[derive(Clone, Debug)]
enum Step {
    Start,
    Completed,
    Stop,
    Hurry,
    Resolved(bool),
    Connected,
    Received(&'static str),
    Ended(bool),
    Closed,
    Timeout,
    Wait(u64),
    Poll,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Start),
        1 => Just(Step::Completed),
        1 => Just(Step::Stop),
        1 => Just(Step::Hurry),
        2 => any::<bool>().prop_map(Step::Resolved),
        4 => Just(Step::Connected),
        2 => Just(Step::Received("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nde")),
        1 => Just(Step::Received("HTTP/1.1 200 OK\r\n\r\nd")),
        1 => Just(Step::Received("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")),
        2 => any::<bool>().prop_map(Step::Ended),
        4 => Just(Step::Closed),
        2 => Just(Step::Timeout),
        3 => prop_oneof![Just(0), 1u64..20, Just(4_000)].prop_map(Step::Wait),
        12 => Just(Step::Poll),
    ]
}

proptest! {
    /// Whatever happens, in whatever order: connections are opened, used and closed one at a time,
    /// lookups are asked one at a time, and no `stopped` goes to a tracker without a `started`.
    #[test]
    fn any_order_of_events_keeps_the_discipline(
        steps in proptest::collection::vec(any_step(), 0..200),
    ) {
        let mut world = World::new(&[&[A, "http://one.test/"], &[B, "udp://x/"]]);
        let mut started = BTreeMap::new();
        let mut owed = false;
        for step in steps {
            let now = world.now;
            let announcer = &mut world.announcer;
            match step {
                Step::Start => announcer.start(now),
                Step::Completed => announcer.completed(now),
                Step::Stop => announcer.stop(now),
                Step::Hurry => announcer.hurry(now),
                Step::Resolved(found) if owed => {
                    owed = false;
                    let found = found.then_some(&[IpAddr::V4(Ipv4Addr::LOCALHOST)][..]);
                    announcer.resolved(now, found.ok_or(FAILED));
                }
                Step::Resolved(_) => {}
                Step::Connected => announcer.connected(now),
                Step::Received(bytes) => announcer.received(now, bytes.as_bytes()),
                Step::Ended(well) if world.open.is_some() => {
                    let failed = EndReason::Failed(FAILED);
                    announcer.ended(now, if well { EndReason::Eof } else { failed });
                    world.open = None;
                    announcer.closed(now);
                }
                Step::Ended(_) => announcer.ended(now, EndReason::Eof),
                Step::Closed if world.open.is_none() => announcer.closed(now),
                Step::Closed => {}
                Step::Timeout => announcer.handle_timeout(now),
                Step::Wait(time) => world.now += seconds(time),
                Step::Poll => match world.poll() {
                    Some(Action::Resolve { .. }) => {
                        prop_assert!(!owed);
                        owed = true;
                    }
                    Some(Action::Connect { to, .. }) => prop_assert_eq!(world.open.replace(to), None),
                    Some(Action::Send { bytes }) => {
                        let to = world.open.expect("a connection");
                        let text = String::from_utf8(bytes).unwrap();
                        let known = started.entry(to).or_insert(false);
                        prop_assert!(!text.contains("event=stopped") || *known);
                        *known |= text.contains("event=started");
                    }
                    Some(Action::Disconnect) => {
                        prop_assert!(world.open.take().is_some());
                        world.announcer.closed(now);
                    }
                    Some(Action::Report { .. }) | None => {}
                },
            }
            if world.announcer.is_stopped() {
                prop_assert_eq!(world.open, None);
                prop_assert_eq!(world.announcer.poll_timeout(), None);
            }
        }
    }
}
