//! What goes wrong on the network and with its hosts means the same on both backends, at any time
//! of a run.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::rc::Rc;

use ripcurrent_proto::api::{EndReason, Input, IoErrorKind, Net, Output, Transmission};
use ripcurrent_proto::base::id::{ConnId, Slots};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::{Machine, Tap};
use ripcurrent_sim::disk::Files;
use ripcurrent_sim::names::Names;
use ripcurrent_sim::network::{Backend, Host, Network, Stop, TICK};
use ripcurrent_sim::shaper::WINDOW;

const PORT: u16 = 6881;
const LATENCY: Duration = Duration::from_millis(20);
/// How long a reset takes from whoever sends it: the latency, begun ticks not counted.
const SOON: Duration = Duration::from_millis(50);

/// Connects to whom it is told, takes everything it gets, and writes down what happened to it and
/// when. Told to say something, it sends a running count, so that a gap or a swap is noticed.
#[derive(Default)]
struct Talker {
    calls: Vec<SocketAddr>,
    conns: Slots<Talk>,
    outputs: VecDeque<Output>,
    /// Says a word as often as this, once connected.
    pace: Option<Duration>,
    next: Option<Instant>,
    log: Vec<(Instant, What)>,
}

#[derive(Default)]
struct Talk {
    made: bool,
    closing: bool,
    sending: bool,
    said: u32,
    heard: u32,
    partial: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Bound,
    Accepted,
    Connected,
    Heard(u32),
    Ended(EndReason),
}

impl Talker {
    fn calling(to: &[SocketAddr], pace: Option<Duration>) -> Self {
        let calls = to.to_vec();
        Talker {
            calls,
            pace,
            ..Talker::default()
        }
    }

    fn greet(&mut self, now: Instant, conn: ConnId) {
        let net = Net::Recv {
            conn,
            until: u64::MAX,
        };
        self.outputs.push_back(Output::Net(net));
        self.next = self.pace.map(|pace| now + pace);
    }

    fn hear(&mut self, now: Instant, conn: ConnId, data: &[u8]) {
        let talk = self.conns.get_mut(conn.0).expect("an open connection");
        talk.partial.extend_from_slice(data);
        let whole = talk.partial.len() / 4 * 4;
        for word in talk.partial.drain(..whole).as_slice().chunks(4) {
            let word = u32::from_be_bytes(word.try_into().expect("four bytes"));
            assert_eq!(word, talk.heard, "a stream has neither gaps nor swaps");
            talk.heard += 1;
            self.log.push((now, What::Heard(word)));
        }
    }

    fn note(&mut self, now: Instant, what: What) {
        self.log.push((now, what));
    }

    fn heard(&self) -> usize {
        let heard = |(_, what): &&(Instant, What)| matches!(what, What::Heard(_));
        self.log.iter().filter(heard).count()
    }

    fn ends(&self) -> Vec<(Instant, EndReason)> {
        let ends = self.log.iter().filter_map(|(at, what)| match what {
            What::Ended(reason) => Some((*at, *reason)),
            _ => None,
        });
        ends.collect()
    }

    fn last_heard(&self) -> Option<Instant> {
        let mut heard = self.log.iter().rev();
        heard
            .find(|(_, what)| matches!(what, What::Heard(_)))
            .map(|(at, _)| *at)
    }

    fn count(&self, what: What) -> usize {
        self.log.iter().filter(|(_, was)| *was == what).count()
    }
}

impl Machine for Talker {
    fn accept(&mut self, now: Instant, _from: SocketAddr) -> Option<ConnId> {
        let conn = ConnId(self.conns.insert(Talk {
            made: true,
            ..Talk::default()
        }));
        self.note(now, What::Accepted);
        self.greet(now, conn);
        Some(conn)
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bound { .. } => {
                self.note(now, What::Bound);
                for to in std::mem::take(&mut self.calls) {
                    let conn = ConnId(self.conns.insert(Talk::default()));
                    let connect = Net::Connect {
                        conn,
                        to,
                        tls: None,
                    };
                    self.outputs.push_back(Output::Net(connect));
                }
            }
            Input::Connected { conn } => {
                self.conns.get_mut(conn.0).expect("it was called").made = true;
                self.note(now, What::Connected);
                self.greet(now, conn);
            }
            Input::Received { conn, data } => self.hear(now, conn, data),
            Input::Sent { conn } => {
                self.conns.get_mut(conn.0).expect("still open").sending = false;
            }
            Input::Ended { conn, reason } => {
                self.note(now, What::Ended(reason));
                self.conns.get_mut(conn.0).expect("still open").closing = true;
                self.outputs.push_back(Output::Net(Net::Close { conn }));
            }
            Input::Closed { conn } => {
                self.conns.remove(conn.0);
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        self.next = self.pace.map(|pace| now + pace);
        let mut outputs = Vec::new();
        for (id, talk) in self.conns.iter_mut() {
            if !talk.made || talk.closing || talk.sending {
                continue;
            }
            let mut transmission = Transmission::default();
            let word = talk.said.to_be_bytes();
            transmission.push_head(|head| head.extend_from_slice(&word));
            talk.said += 1;
            talk.sending = true;
            let conn = ConnId(id);
            outputs.push(Output::Net(Net::Transmit { conn, transmission }));
        }
        self.outputs.extend(outputs);
    }

    fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}

fn addr(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, number).into()
}

fn socket(number: u8) -> SocketAddr {
    SocketAddr::new(addr(number), PORT)
}

type Party = Rc<RefCell<Tap<Talker>>>;

struct Scene {
    network: Network,
    parties: BTreeMap<u8, Party>,
}

impl Scene {
    fn new(backend: Backend) -> Self {
        let network = Network::new(backend, &Rng::from_seed([3; 32]), Names::default());
        let parties = BTreeMap::new();
        Scene { network, parties }
    }

    /// Two hosts, the second calls the first, both say a word every 10 ms.
    fn of_two(backend: Backend) -> Self {
        let mut scene = Scene::new(backend);
        scene.add(1, Talker::calling(&[], PACE));
        scene.add(2, Talker::calling(&[socket(1)], PACE));
        scene.run(Duration::from_secs(1));
        assert!(scene.get(1, Talker::heard) > 80 && scene.get(2, Talker::heard) > 80);
        scene
    }

    fn add(&mut self, number: u8, talker: Talker) {
        let host = Host {
            addr: addr(number),
            port: PORT,
            up: None,
            down: None,
            files: Files::default(),
        };
        let party = Rc::new(RefCell::new(Tap::new(talker)));
        self.network.add(host, Rc::clone(&party), |_, _| ());
        for other in self.parties.keys() {
            self.network
                .set_latency(addr(number), addr(*other), LATENCY);
        }
        self.parties.insert(number, party);
    }

    fn start(&mut self, number: u8, talker: Talker) {
        let party = Rc::new(RefCell::new(Tap::new(talker)));
        self.network
            .start(addr(number), Rc::clone(&party), |_, _| ());
        self.parties.insert(number, party);
    }

    fn run(&mut self, duration: Duration) {
        let end = self.network.now() + duration;
        while self.network.now() < end {
            self.network.step().expect("no host breaks down");
        }
    }

    fn get<T>(&self, number: u8, read: impl FnOnce(&Talker) -> T) -> T {
        let mut party = self.parties[&number].borrow_mut();
        read(party.machine())
    }
}

const PACE: Option<Duration> = Some(Duration::from_millis(10));
const RESET: IoErrorKind = IoErrorKind::Reset;

fn kind(reason: EndReason) -> Option<IoErrorKind> {
    match reason {
        EndReason::Failed(error) => Some(error.kind),
        EndReason::Eof | EndReason::Tls(_) => None,
    }
}

/// While two hosts are parted neither hears or learns anything; when they meet again the streams go
/// on without a gap, and what was said meanwhile comes at once.
#[test]
fn a_short_partition_loses_nothing() {
    for backend in Backend::ALL {
        let mut scene = Scene::of_two(backend);
        let parted = scene.network.now();
        scene.network.partition(addr(1), addr(2));
        scene.run(Duration::from_secs(60));
        for number in [1, 2] {
            assert!(
                scene.get(number, Talker::last_heard) <= Some(parted),
                "{backend}"
            );
            assert!(scene.get(number, Talker::ends).is_empty());
        }
        let met = scene.network.now();
        scene.network.heal(addr(1), addr(2));
        scene.run(TICK);
        for number in [1, 2] {
            assert_eq!(
                scene.get(number, Talker::last_heard),
                Some(met),
                "{backend}"
            );
        }
        scene.run(Duration::from_secs(1));
        for number in [1, 2] {
            let heard = scene.get(number, Talker::heard);
            assert!(heard >= 6_150, "{heard} words of 62 seconds");
            assert!(scene.get(number, Talker::ends).is_empty());
        }
    }
}

/// A partition that lasts longer than TCP resends ends the connections at both ends; a hold does
/// not, however long.
#[test]
fn a_long_partition_times_out() {
    for backend in Backend::ALL {
        let mut scene = Scene::new(backend);
        scene.add(1, Talker::default());
        scene.add(
            2,
            Talker::calling(&[socket(1)], Some(Duration::from_secs(1))),
        );
        scene.add(3, Talker::calling(&[socket(1)], None));
        scene.run(Duration::from_secs(1));
        let parted = scene.network.now();
        scene.network.partition(addr(2), addr(1));
        scene.network.hold(addr(3), addr(1));
        scene.run(Duration::from_secs(16 * 60));
        let ends = scene.get(2, Talker::ends);
        let [(at, reason)] = ends[..] else {
            panic!("one end, not {ends:?}");
        };
        assert_eq!(kind(reason), Some(IoErrorKind::TimedOut), "{backend}");
        assert!((900..930).contains(&at.since(parted).as_secs()), "{at}");
        assert_eq!(scene.get(1, Talker::ends), ends, "{backend}");
        assert!(scene.get(3, Talker::ends).is_empty(), "{backend}");
    }
}

/// A call across a partition is neither refused nor answered until the partition ends.
#[test]
fn calls_wait_for_the_end_of_a_partition() {
    for backend in Backend::ALL {
        let mut scene = Scene::of_two(backend);
        scene.add(3, Talker::calling(&[socket(1)], None));
        scene.network.partition(addr(3), addr(1));
        scene.run(Duration::from_secs(10));
        let log = scene.get(3, |talker| talker.log.clone());
        assert_eq!(log.len(), 1, "{backend}: {log:?}");
        scene.network.heal(addr(1), addr(3));
        scene.run(Duration::from_secs(1));
        assert_eq!(scene.get(3, |talker| talker.count(What::Connected)), 1);
    }
}

/// Causes overlap: what is parted and held stays apart until both are over.
#[test]
fn a_hold_outlasts_a_partition() {
    for backend in Backend::ALL {
        let mut scene = Scene::of_two(backend);
        scene.network.hold(addr(1), addr(2));
        scene.network.partition(addr(1), addr(2));
        scene.run(Duration::from_secs(1));
        let heard = scene.get(1, Talker::heard);
        scene.network.heal(addr(1), addr(2));
        scene.run(Duration::from_secs(1));
        assert_eq!(scene.get(1, Talker::heard), heard, "{backend}");
        scene.network.release(addr(1), addr(2));
        scene.run(TICK);
        let more = scene.get(1, Talker::heard) - heard;
        assert!(more >= 190, "{backend}: {more} words of two seconds");
    }
}

/// A mute host is not heard and hears: its peer's words arrive as fast as ever, until the peer's
/// window is full of what is not acknowledged.
#[test]
fn a_mute_host_still_hears() {
    for backend in Backend::ALL {
        let mut scene = Scene::of_two(backend);
        let muted = scene.network.now();
        scene.network.mute(addr(1), addr(2));
        scene.run(Duration::from_secs(10));
        assert!(scene.get(2, Talker::last_heard) <= Some(muted), "{backend}");
        let words = scene.get(1, |talker| {
            let heard = |(at, what): &&(Instant, What)| {
                *at >= muted + SOON && matches!(what, What::Heard(_))
            };
            talker.log.iter().filter(heard).count()
        });
        assert!((985..=1_000).contains(&words), "{backend}: {words} words");
        scene.network.unmute(addr(1), addr(2));
        scene.run(TICK);
        let heard = scene.get(2, Talker::heard);
        assert!(heard > 1_080, "{backend}: {heard} words");
    }
}

/// No call gets through where there is no way for it or no way back.
#[test]
fn calls_need_both_ways() {
    for backend in Backend::ALL {
        let mut scene = Scene::of_two(backend);
        scene.add(3, Talker::calling(&[socket(1)], None));
        scene.add(4, Talker::calling(&[socket(1)], None));
        scene.network.mute(addr(3), addr(1));
        scene.network.mute(addr(1), addr(4));
        scene.run(Duration::from_secs(10));
        for number in [3, 4] {
            assert_eq!(scene.get(number, |talker| talker.log.len()), 1, "{backend}");
        }
        scene.network.unmute(addr(3), addr(1));
        scene.network.unmute(addr(1), addr(4));
        scene.run(Duration::from_secs(1));
        for number in [3, 4] {
            assert_eq!(scene.get(number, |talker| talker.count(What::Connected)), 1);
        }
    }
}

/// A reset breaks every connection of a pair at both ends at once, and no other; afterwards the two
/// may connect again.
#[test]
fn a_reset_is_found_at_both_ends() {
    for backend in Backend::ALL {
        let mut scene = Scene::of_two(backend);
        scene.add(3, Talker::calling(&[socket(1), socket(2), socket(2)], PACE));
        scene.run(Duration::from_secs(1));
        let now = scene.network.now();
        scene.network.reset(addr(2), addr(3));
        scene.run(Duration::from_secs(1));
        let broken = |number, count| {
            let ends = scene.get(number, Talker::ends);
            assert_eq!(ends.len(), count, "{backend}: {ends:?} at {number}");
            for (at, reason) in ends {
                assert_eq!((at, kind(reason)), (now, Some(RESET)), "{backend}");
            }
        };
        broken(1, 0);
        broken(2, 2);
        broken(3, 2);
        scene.add(4, Talker::calling(&[socket(2)], PACE));
        scene.run(Duration::from_secs(1));
        assert!(scene.get(4, Talker::heard) > 80);
    }
}

/// Chance picks one connection of a host; the same chance picks the same on both backends.
#[test]
fn chance_resets_one_connection() {
    let picks = Backend::ALL.map(|backend| {
        let mut scene = Scene::new(backend);
        for number in 1..=5 {
            let calls: Vec<_> = (1..number).map(socket).collect();
            scene.add(number, Talker::calling(&calls, PACE));
        }
        scene.run(Duration::from_secs(1));
        let mut rng = Rng::from_seed([9; 32]);
        let mut picks = Vec::new();
        while let Some(other) = scene.network.reset_some(addr(3), &mut rng) {
            scene.run(SOON);
            picks.push(other);
            assert_eq!(scene.get(3, |talker| talker.ends().len()), picks.len());
        }
        let mut sorted = picks.clone();
        sorted.sort();
        assert_eq!(sorted, [addr(1), addr(2), addr(4), addr(5)], "{backend}");
        picks
    });
    assert_eq!(picks[0], picks[1]);
}

/// A process that is killed leaves its peers an end after the latency; its host refuses calls; and
/// its successor, at the same address, can be called.
#[test]
fn a_killed_process_says_goodbye() {
    for backend in Backend::ALL {
        let mut scene = Scene::of_two(backend);
        let killed = scene.network.now();
        scene.network.stop(addr(1), Stop::Kill);
        scene.add(3, Talker::calling(&[socket(1)], PACE));
        scene.run(Duration::from_secs(1));
        let ends = scene.get(2, Talker::ends);
        assert_eq!(ends.len(), 1, "{backend}: {ends:?}");
        let took = ends[0].0.since(killed);
        assert!((LATENCY..=SOON).contains(&took), "{backend}: {took:?}");
        let refused = scene.get(3, Talker::ends);
        assert_eq!(refused.len(), 1, "{backend}: {refused:?}");
        assert_eq!(kind(refused[0].1), Some(IoErrorKind::Refused), "{backend}");

        scene.start(1, Talker::calling(&[socket(2)], PACE));
        scene.add(4, Talker::calling(&[socket(1)], PACE));
        scene.run(Duration::from_secs(1));
        assert_eq!(scene.get(1, |talker| talker.count(What::Bound)), 1);
        assert!(scene.get(2, Talker::heard) > 160, "{backend}");
        assert!(scene.get(4, Talker::heard) > 80, "{backend}");
    }
}

/// A host without power says nothing, not even to calls. When it is up again it answers what its
/// peers have sent meanwhile by resets, and takes the calls that still wait.
#[test]
fn a_power_cut_is_silent() {
    for backend in Backend::ALL {
        let mut scene = Scene::of_two(backend);
        // One that never says anything, and so never learns.
        scene.add(5, Talker::calling(&[socket(1)], None));
        scene.run(Duration::from_secs(1));
        scene.network.stop(addr(1), Stop::PowerCut);
        scene.run(SOON);
        let cut = scene.network.now();
        scene.add(3, Talker::calling(&[socket(1)], PACE));
        scene.run(Duration::from_secs(60));
        assert!(scene.get(2, Talker::last_heard) < Some(cut), "{backend}");
        assert!(scene.get(2, Talker::ends).is_empty(), "{backend}");
        assert_eq!(scene.get(3, |talker| talker.log.len()), 1, "{backend}");

        let up = scene.network.now();
        scene.start(1, Talker::calling(&[], PACE));
        scene.run(Duration::from_secs(1));
        let ends = scene.get(2, Talker::ends);
        assert_eq!(ends.len(), 1, "{backend}: {ends:?}");
        assert_eq!(kind(ends[0].1), Some(RESET), "{backend}");
        let took = ends[0].0.since(up);
        assert!((LATENCY..=SOON).contains(&took), "{backend}: {took:?}");
        assert!(scene.get(3, Talker::heard) > 80, "{backend}");
        let ends = scene.get(5, Talker::ends);
        assert!(ends.is_empty(), "{backend}: {ends:?}");
    }
}

/// Hosts come at any time, latencies and rates change at any time, and the order of a stream is
/// kept while they do.
#[test]
fn links_change_under_way() {
    for backend in Backend::ALL {
        let mut scene = Scene::of_two(backend);
        let round = |scene: &mut Scene, latency, rate| {
            scene.network.set_latency(addr(1), addr(2), latency);
            scene
                .network
                .set_rates(addr(2), NonZeroU64::new(rate), None);
            scene.run(Duration::from_secs(2));
            let heard = scene.get(1, Talker::heard);
            scene.run(Duration::from_secs(1));
            scene.get(1, Talker::heard) - heard
        };
        let ms = Duration::from_millis;
        let near_100 = 95..=102;
        assert!(
            near_100.contains(&round(&mut scene, ms(900), 1 << 30)),
            "{backend}"
        );
        assert!(
            near_100.contains(&round(&mut scene, ms(5), 1 << 30)),
            "{backend}"
        );
        let slow = round(&mut scene, ms(5), 100);
        assert!(
            (24..=26).contains(&slow),
            "{backend}: {slow} words of 100 bytes"
        );
        assert!(near_100.contains(&round(&mut scene, ms(5), 0)), "{backend}");
    }
}

/// A thousand calls that reach one host at once are all taken.
#[test]
fn many_call_at_once() {
    for backend in Backend::ALL {
        let mut scene = Scene::new(backend);
        scene.add(1, Talker::default());
        for number in 2..=11 {
            let calls = vec![socket(1); 100];
            scene.add(number, Talker::calling(&calls, None));
        }
        scene.run(Duration::from_secs(1));
        assert_eq!(scene.get(1, |talker| talker.count(What::Accepted)), 1_000);
        for number in 2..=11 {
            assert_eq!(
                scene.get(number, |talker| talker.count(What::Connected)),
                100
            );
        }
    }
}

/// All of it together, twice: the same inputs at the same times.
#[test]
fn outages_are_deterministic() {
    let play = |backend| {
        let mut scene = Scene::of_two(backend);
        scene.add(3, Talker::calling(&[socket(1), socket(2)], PACE));
        scene.network.mute(addr(1), addr(3));
        scene.run(Duration::from_secs(1));
        scene.network.partition(addr(2), addr(3));
        scene.network.unmute(addr(1), addr(3));
        scene.run(Duration::from_secs(1));
        scene.network.stop(addr(1), Stop::PowerCut);
        scene.network.heal(addr(2), addr(3));
        scene.run(Duration::from_secs(1));
        scene.start(1, Talker::calling(&[socket(3)], PACE));
        scene
            .network
            .reset_some(addr(2), &mut Rng::from_seed([4; 32]));
        scene.run(Duration::from_secs(1));
        let parties = scene.parties.values();
        parties
            .map(|party| party.borrow().digest())
            .collect::<Vec<_>>()
    };
    for backend in Backend::ALL {
        assert_eq!(play(backend), play(backend), "{backend}");
    }
}

/// What is not acknowledged fills the window: a mute reader stops the writer there.
#[test]
fn a_mute_reader_stops_the_writer() {
    for backend in Backend::ALL {
        let mut scene = Scene::new(backend);
        let fast = Some(Duration::from_millis(1));
        scene.add(1, Talker::default());
        scene.add(2, Talker::calling(&[socket(1)], fast));
        scene.run(Duration::from_secs(1));
        scene.network.mute(addr(1), addr(2));
        scene.run(Duration::from_secs(1));
        let before = scene.get(1, Talker::heard);
        scene.run(Duration::from_secs(70));
        let most = WINDOW / 4;
        let heard = scene.get(1, Talker::heard) - before;
        assert!(
            (most - 1_500..=most).contains(&heard),
            "{backend}: {heard} of {most}"
        );
    }
}
