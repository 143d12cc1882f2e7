//! A referee beside every client: reads its connections byte by byte, and tells which rules of the
//! standards it breaks.
//!
//! [`Refereed`] is a machine around a machine, so it sees every call in the order in which that
//! client itself read and spoke, whatever is under way in the network. It shares nothing with the
//! client but the torrent: it cuts the streams, keeps the books and knows the rules by itself. Only
//! our client is judged; the far end may be anybody.
//!
//! What is on the client's disk it follows through what was hashed, written and read; a claim is
//! judged by that and not by what the client believes.
//!
//! # Rules
//!
//! Messages gather while a transmission is in flight, so a client may have meant what it hands over
//! at any time since it handed something over last on that connection: where the far end (or the
//! disk) changed something in that time, either state will do. So no rule is ever broken by bytes
//! that cross on the wire.
//!
//! | rule | what it says | where |
//! |---|---|---|
//! | `handshake` | 68 bytes: the protocol's name, what this client offers and no other bit, the torrent's info-hash | BEP 3, "peer protocol"; BEP 6; BEP 10 |
//! | `peer-id` | one peer id for the whole life of the client | BEP 3, "trackers", `peer_id` |
//! | `severed` | nothing is said to who speaks another protocol or of another torrent | BEP 3, "peer protocol" |
//! | `early-message` | no message before the far end's handshake: what may be said depends on it | BEP 3, "peer protocol"; BEP 6 |
//! | `frame` | every message has an id that exists and the length that goes with it | BEP 3, "peer messages" |
//! | `first-message` | a bitfield only comes first, and is left out only by who has nothing; with the fast extension exactly one of bitfield, have-all and have-none comes first | BEP 3, "peer messages"; BEP 6, "Have All/Have None" |
//! | `bitfield` | as many bytes as the torrent needs, spare bits zero | BEP 3, "peer messages" |
//! | `not-fast` | messages of the fast extension only where both offered it | BEP 6 |
//! | `not-extended` | extended messages only where both offered them, the handshake first, others under the ids that the far end gave | BEP 10 |
//! | `not-offered` | a DHT port and hashes only where both offered them | BEP 5, "BitTorrent Protocol Extension"; BEP 52, "wire protocol" |
//! | `false-have` | every piece claimed was hashed right and is on the disk | BEP 3, `have` |
//! | `repeated-have` | a piece is told of once | BEP 3, `have` |
//! | `untold-piece` | a finished piece is told to every peer: here in the first words after 10 s that tell of any, or of none | BEP 3, "peer protocol" |
//! | `repeated-state` | choke, unchoke, interested and not interested only where they change something; both begin choked and not interested | BEP 3, "peer protocol" |
//! | `choked-request` | no request to who chokes, but for its allowed-fast pieces | BEP 3, "peer protocol"; BEP 6, "Allowed Fast" |
//! | `uninterested-request` | no request without having said that we are interested | BEP 3, "peer protocol" |
//! | `stale-interest` | who wants everything is interested in whoever has something that is missing, and in nobody else who owes nothing: here, within 30 s | BEP 3, "peer protocol" |
//! | `absent-request` | no request for what the far end did not say it has; that a piece is allowed fast does not say so | BEP 3, `have`; BEP 6, "Allowed Fast" |
//! | `needless-request` | no request for a piece that is held | BEP 3, `cancel` |
//! | `bad-range` | requests are for whole blocks of 16 KiB, shorter only at the end of a piece | BEP 3, `request`; de facto, "Block size" |
//! | `double-request` | no second request for a block on the same connection while the first is out and not withdrawn: each has an answer of its own | BEP 6, "Modifications to Semantics of Existing Messages" |
//! | `too-many-requests` | no more requests out than the far end lets wait (`reqq`; 250 if it does not say), and never more than 500 | BEP 10, `reqq`; de facto, "Pipelining" |
//! | `idle-cancel` | only what is out is withdrawn, and once | BEP 3, `cancel` |
//! | `unasked-piece` | every block sent was asked for and not withdrawn, and is sent once; a choke withdraws all without the fast extension | BEP 3, `choke`, `cancel`; BEP 6 |
//! | `piece-length` | a block has the length that was asked for | BEP 3, `request` |
//! | `choking-piece` | no block to who is choked, but for allowed-fast pieces | BEP 3, "peer protocol"; BEP 6, "Reject Request" |
//! | `unheld-piece` | blocks are sent of pieces that are held | BEP 3, `have` |
//! | `idle-reject` | only requests are rejected, each once | BEP 6, "Reject Request" |
//! | `unanswered` | with the fast extension every request has its one answer: what is withdrawn or choked in the next words but one, the others before more blocks have passed than can wait | BEP 6 |
//! | `silence` | something is said every two minutes | BEP 3, "peer protocol" |
//! | `strange-address` | in a private swarm, peers are dialled at addresses that a tracker gave, or people | BEP 27 |
//!
//! Requests that are open when a connection ends need no answer. How long a request may wait that is
//! neither withdrawn nor choked no standard says; a disk or a rate limit may take any time.

mod asked;
mod bencode;
mod extended;
mod frames;
mod greeting;
mod holdings;
mod leads;
mod peer;
mod rules;
#[cfg(test)]
mod tests;
mod wants;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ripcurrent_proto::api::{Command, Input, Net, Output, Transmission};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;

use holdings::Holdings;
use leads::Leads;
use peer::Conversation;
pub use peer::Traffic;
pub use rules::{Rule, Rules};

/// The most violations that are kept of one client: it is wrong, and more would not say more.
const KEPT_MAX: usize = 64;

/// A rule that our client broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When, in virtual time.
    pub at: Instant,
    /// To whom.
    pub far: SocketAddr,
    /// Which rule.
    pub rule: Rule,
    /// By what.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation {
            at,
            far,
            rule,
            detail,
        } = self;
        write!(f, "{at}, to {far}: {rule} ({}): {detail}", rule.source())
    }
}

/// A machine under the eyes of a referee.
#[derive(Debug)]
pub struct Refereed<M> {
    machine: M,
    rules: Rules,
    holdings: Holdings,
    leads: Leads,
    peer_id: Option<[u8; 20]>,
    /// By the slot of their id.
    links: Vec<Option<Box<Link>>>,
    /// What was read from and sent to each host on connections that are closed.
    past: BTreeMap<IpAddr, Traffic>,
    clock: Clock,
    violations: Vec<Violation>,
}

/// A connection of our client.
#[derive(Debug)]
struct Link {
    conn: ConnId,
    far: SocketAddr,
    is_dialled: bool,
    /// Our client wants it closed.
    is_closing: bool,
    talk: Talk,
}

/// How many connections our client has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Of every kind, until they are closed.
    pub all: usize,
    /// Past both handshakes.
    pub peers: usize,
    /// Dialled and not past both handshakes. That of a tracker counts until our client asks.
    pub half_open: usize,
}

/// What a connection is for.
#[derive(Debug)]
enum Talk {
    /// Our client has said nothing.
    None,
    /// It asks a tracker; what was answered so far.
    Tracker(Vec<u8>),
    Peer(Box<Conversation>),
}

/// When our client was called.
#[derive(Clone, Copy, Debug)]
struct Clock {
    now: Instant,
    /// The last time before that.
    before: Instant,
}

/// What blows when a rule is broken.
#[derive(Debug)]
struct Whistle<'w> {
    now: Instant,
    far: SocketAddr,
    violations: &'w mut Vec<Violation>,
}

impl Whistle<'_> {
    fn blow(&mut self, rule: Rule, detail: impl FnOnce() -> String) {
        if self.violations.len() < KEPT_MAX {
            self.violations.push(Violation {
                at: self.now,
                far: self.far,
                rule,
                detail: detail(),
            });
        }
    }
}

impl<M: Machine> Refereed<M> {
    /// Puts `machine`, which has not run, under the eyes of a referee.
    pub fn new(machine: M, rules: Rules) -> Self {
        let start = Clock {
            now: Instant::ZERO,
            before: Instant::ZERO,
        };
        Refereed {
            machine,
            holdings: Holdings::new(rules.clone()),
            leads: Leads::new(rules.torrent().is_private()),
            rules,
            peer_id: None,
            links: Vec::new(),
            past: BTreeMap::new(),
            clock: start,
            violations: Vec::new(),
        }
    }

    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The machine, to poll for events; the referee sees no calls made so.
    pub fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }

    /// What our client did wrong so far, the first 64 of it.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The pieces that lie on our client's disk, hashed right and written.
    pub fn held(&self) -> &Bitfield {
        self.holdings.held()
    }

    /// The pieces that our client has relied on to be durable since it was last asked, if any: those
    /// that states name that it saved, and those of files that it gave their own names.
    pub fn take_relied_on(&mut self) -> Option<Bitfield> {
        self.holdings.take_relied_on()
    }

    /// The run is over: looks at who has been silent for too long.
    pub fn end(&mut self, now: Instant) {
        self.called(now);
        let Refereed {
            links, violations, ..
        } = self;
        for link in links.iter_mut().flatten() {
            link.check_silence(self.clock, violations);
        }
    }

    /// Bytes of blocks that were read from each host and handed over to be sent to it.
    pub fn traffic(&self) -> BTreeMap<IpAddr, Traffic> {
        let mut all = self.past.clone();
        for link in self.links.iter().flatten() {
            link.add_to(&mut all);
        }
        all
    }

    /// How many connections our client has.
    pub fn links(&self) -> Links {
        let mut links = Links::default();
        for link in self.links.iter().flatten() {
            links.all += 1;
            let is_open = matches!(&link.talk, Talk::Peer(talk) if talk.is_open());
            let is_inquiry = matches!(link.talk, Talk::Tracker(_));
            links.peers += usize::from(is_open && !link.is_closing);
            let is_half = link.is_dialled && !is_open && !is_inquiry && !link.is_closing;
            links.half_open += usize::from(is_half);
        }
        links
    }

    fn called(&mut self, now: Instant) {
        if now > self.clock.now {
            self.clock.before = self.clock.now;
            self.clock.now = now;
        }
    }

    fn begin(&mut self, conn: ConnId, far: SocketAddr, is_dialled: bool) {
        let slot = conn.0.slot() as usize;
        if self.links.len() <= slot {
            self.links.resize_with(slot + 1, || None);
        }
        let talk = match is_dialled {
            true => Talk::None,
            false => Talk::Peer(self.conversation()),
        };
        self.links[slot] = Some(Box::new(Link {
            conn,
            far,
            is_dialled,
            is_closing: false,
            talk,
        }));
    }

    fn conversation(&self) -> Box<Conversation> {
        let pieces = self.rules.torrent().layout().pieces();
        Box::new(Conversation::new(self.clock.now, pieces as usize))
    }

    fn heard(&mut self, input: &Input<'_>) {
        self.holdings.heard(self.clock.now, input);
        match input {
            Input::Received { conn, data } => self.received(*conn, data),
            Input::Sent { conn } => {
                let now = self.clock.now;
                if let Some(talk) = self.peer(*conn) {
                    talk.sent(now);
                }
            }
            Input::Ended { conn, .. } => {
                if let Some(talk) = self.peer(*conn) {
                    talk.end();
                }
            }
            Input::Closed { conn } => self.closed(*conn),
            Input::Command(Command::AddPeer { addr, .. }) => self.leads.name(*addr),
            _ => {}
        }
    }

    fn received(&mut self, conn: ConnId, data: &[u8]) {
        let clock = self.clock;
        let Some(link) = find(&mut self.links, conn) else {
            return;
        };
        link.check_silence(clock, &mut self.violations);
        match &mut link.talk {
            Talk::None => {}
            Talk::Tracker(answer) => self.leads.gather(answer, data),
            Talk::Peer(talk) => talk.read(clock.now, &self.holdings, data),
        }
    }

    fn closed(&mut self, conn: ConnId) {
        if let Some(link) = find(&mut self.links, conn) {
            link.add_to(&mut self.past);
            self.links[conn.0.slot() as usize] = None;
        }
    }

    fn wanted(&mut self, output: &Output) {
        self.holdings.wanted(output);
        match output {
            Output::Net(Net::Connect { conn, to, .. }) => self.begin(*conn, *to, true),
            Output::Net(Net::Transmit { conn, transmission }) => self.spoke(*conn, transmission),
            Output::Net(Net::Close { conn }) => {
                let clock = self.clock;
                if let Some(link) = find(&mut self.links, *conn) {
                    link.check_silence(clock, &mut self.violations);
                    link.is_closing = true;
                }
            }
            _ => {}
        }
    }

    fn spoke(&mut self, conn: ConnId, transmission: &Transmission) {
        let clock = self.clock;
        let meant = self.meant(conn, transmission);
        let Some(link) = find(&mut self.links, conn) else {
            return;
        };
        if let Some(talk) = meant {
            link.talk = talk;
        }
        link.check_silence(clock, &mut self.violations);
        let whistle = &mut Whistle {
            now: clock.now,
            far: link.far,
            violations: &mut self.violations,
        };
        let Talk::Peer(talk) = &mut link.talk else {
            return;
        };
        self.holdings.speaks();
        let was_greeted = talk.greeting().is_some();
        talk.speak(whistle, &self.holdings, transmission);
        let Some(greeting) = talk.greeting().filter(|_| !was_greeted) else {
            return;
        };
        let first = *self.peer_id.get_or_insert(greeting.peer_id());
        greeting.judge(whistle, &self.rules, first);
        if link.is_dialled && !self.leads.may_dial(link.far) {
            whistle.blow(Rule::StrangeAddress, || "nobody gave it".into());
        }
    }

    /// What a dialled connection turns out to be by the first words said on it.
    fn meant(&mut self, conn: ConnId, transmission: &Transmission) -> Option<Talk> {
        let link = find(&mut self.links, conn)?;
        if !matches!(link.talk, Talk::None) {
            return None;
        }
        let first = transmission.parts.first()?;
        Some(match transmission.bytes(first).starts_with(b"GET ") {
            true => Talk::Tracker(Vec::new()),
            false => Talk::Peer(self.conversation()),
        })
    }

    fn peer(&mut self, conn: ConnId) -> Option<&mut Conversation> {
        match &mut find(&mut self.links, conn)?.talk {
            Talk::Peer(talk) => Some(talk),
            Talk::None | Talk::Tracker(_) => None,
        }
    }
}

impl Link {
    fn check_silence(&mut self, clock: Clock, violations: &mut Vec<Violation>) {
        let whistle = &mut Whistle {
            now: clock.now,
            far: self.far,
            violations,
        };
        if let Talk::Peer(talk) = &mut self.talk {
            talk.check_silence(whistle, clock.before);
        }
    }

    fn add_to(&self, all: &mut BTreeMap<IpAddr, Traffic>) {
        if let Talk::Peer(talk) = &self.talk {
            let Traffic { down, up } = talk.traffic();
            let sum = all.entry(self.far.ip()).or_default();
            (sum.down, sum.up) = (sum.down + down, sum.up + up);
        }
    }
}

fn find(links: &mut [Option<Box<Link>>], conn: ConnId) -> Option<&mut Link> {
    let link = links.get_mut(conn.0.slot() as usize)?.as_deref_mut()?;
    (link.conn == conn).then_some(link)
}

impl<M: Machine> Machine for Refereed<M> {
    fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId> {
        self.called(now);
        let conn = self.machine.accept(now, from)?;
        self.begin(conn, from, false);
        Some(conn)
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.called(now);
        self.heard(&input);
        self.machine.handle(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.called(now);
        self.machine.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Option<Output> {
        self.called(now);
        let output = self.machine.poll_output(now)?;
        self.wanted(&output);
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }
}
