//! What must hold of every client and of the swarm, whatever happens, looked at as a run goes on.
//!
//! A [`Watch`] is called by the run: [`Watch::client`] every virtual second, the others when
//! something happens. Nothing here changes a run. Each check has a name, and tells a host's first
//! breach of it.
//!
//! | check | what must hold | called |
//! |---|---|---|
//! | `unverified` | a client believes to have only what was hashed right and written, as the [referee](crate::referee) saw it | [`Watch::client`] |
//! | `memory` | no more slabs than the budget | [`Watch::client`] |
//! | `connections` | no more connections, peers and half-open connections than the configuration allows | [`Watch::client`] |
//! | `slots` | no more peers unchoked than there are slots | [`Watch::client`] |
//! | `rotten` | what a client believes to have lies right on its disk | [`Watch::disk`] |
//! | `recorded` | every piece that a saved state names, or of which a file gets its own name, lies right on the disk, and a loss of power would not change that | [`Watch::relied_on`] |
//! | `completed` | who tells that it is complete holds everything, every file has its name, and a loss of power would not change that | [`Watch::completed`] |
//! | `ban` | only liars are banned | [`Watch::banned`] |
//! | `bytes` | nobody reads more of anybody than that one has sent it | [`Watch::bytes`] |
//! | `stalled` | who can get on does | [`Watch::progress`] |
//! | `liveness` | every honest leecher is complete in time | [`Watch::finished`] |
//!
//! That no address of a private swarm is dialled but those that a tracker gave is the referee's rule
//! `strange-address`.

mod liveness;
mod traffic;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::id::TorrentId;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::engine::Engine;

use crate::referee::{Links, Refereed};
pub use liveness::{Delays, liveness_bound};
use traffic::Ledger;

/// A tracker's connection looks like any other until it speaks, and is bounded by itself.
const TRACKER_LINKS: usize = 1;

/// What is checked. The table in the [documentation of the module](self) says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "the table in the documentation of the module says each once"
)]
pub enum Check {
    Unverified,
    Memory,
    Connections,
    Slots,
    Rotten,
    Recorded,
    Completed,
    Ban,
    Bytes,
    Stalled,
    Liveness,
}

impl Check {
    /// Its short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Check::Unverified => "unverified",
            Check::Memory => "memory",
            Check::Connections => "connections",
            Check::Slots => "slots",
            Check::Rotten => "rotten",
            Check::Recorded => "recorded",
            Check::Completed => "completed",
            Check::Ban => "ban",
            Check::Bytes => "bytes",
            Check::Stalled => "stalled",
            Check::Liveness => "liveness",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that must hold did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// When it was seen, in virtual time.
    pub at: Instant,
    /// Whose.
    pub host: String,
    /// What did not hold.
    pub check: Check,
    /// In which way.
    pub detail: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Breach {
            at,
            host,
            check,
            detail,
        } = self;
        write!(f, "{at}, {host}: {check}: {detail}")
    }
}

/// Looks at a run.
#[derive(Debug, Default)]
pub struct Watch {
    breaches: Vec<Breach>,
    ledger: Ledger,
    progress: BTreeMap<String, Progress>,
}

/// How far a leecher had come, and when it came there.
#[derive(Debug)]
struct Progress {
    bytes: u64,
    since: Instant,
}

impl Watch {
    /// What did not hold so far: the first of each kind of each host, in the order in which they were
    /// seen.
    #[must_use]
    pub fn breaches(&self) -> &[Breach] {
        &self.breaches
    }

    /// Looks at what a client believes and at what it takes.
    pub fn client(
        &mut self,
        now: Instant,
        host: &str,
        torrent: TorrentId,
        client: &Refereed<Engine>,
    ) {
        let engine = client.machine();
        if let Some(have) = engine.pieces_had(torrent)
            && let Some(piece) = have.beyond(client.held()).next()
        {
            self.breach(now, host, Check::Unverified, || format!("piece {piece}"));
        }
        let config = engine.config();
        self.at_most(
            now,
            host,
            Check::Memory,
            "bytes of slabs",
            engine.slab_bytes(),
            config.memory_budget,
        );
        let (unchoked, slots) = (engine.unchoked(torrent), engine.slots(torrent));
        self.at_most(now, host, Check::Slots, "unchoked", unchoked, slots);
        let Links {
            all,
            peers,
            half_open,
        } = client.links();
        let bounds = [
            ("connections", all, config.max_connections + TRACKER_LINKS),
            ("peers", peers, config.max_peers),
            ("half open", half_open, config.max_half_open + TRACKER_LINKS),
        ];
        for (what, count, most) in bounds {
            self.at_most(now, host, Check::Connections, what, count, most);
        }
    }

    /// Looks at what lies on the disk of a client that believes to have `have`. Not where the run
    /// itself spoils what lies there.
    pub fn disk(
        &mut self,
        now: Instant,
        host: &str,
        have: &Bitfield,
        is_right: impl Fn(u32) -> bool,
    ) {
        if let Some(piece) = have.iter().find(|piece| !is_right(*piece as u32)) {
            self.breach(now, host, Check::Rotten, || format!("piece {piece}"));
        }
    }

    /// A client saves a state that names these pieces, or gives a file of them its own name;
    /// `survives` is whether a piece would be there, and right, if its host lost power now. Not where
    /// the run itself spoils what lies there.
    pub fn relied_on(
        &mut self,
        now: Instant,
        host: &str,
        pieces: &Bitfield,
        survives: impl Fn(u32) -> bool,
    ) {
        if let Some(piece) = pieces.iter().find(|piece| !survives(*piece as u32)) {
            self.breach(now, host, Check::Recorded, || format!("piece {piece}"));
        }
    }

    /// A client tells that it is complete; `survives` is whether everything would be there, and
    /// right, if its host lost power now.
    pub fn completed(&mut self, now: Instant, host: &str, survives: bool) {
        if !survives {
            let detail = || "not everything is whole, durable and named".to_owned();
            self.breach(now, host, Check::Completed, detail);
        }
    }

    /// A client bans `addr`.
    pub fn banned(&mut self, now: Instant, host: &str, addr: IpAddr, is_liar: bool) {
        if !is_liar {
            let detail = || format!("{addr} is banned and has not lied");
            self.breach(now, host, Check::Ban, detail);
        }
    }

    /// Looks at what everybody has read of everybody: `clients` by name and address, all that run
    /// now. O(pairs).
    pub fn bytes<'c, M: ripcurrent_proto::drive::Machine + 'c>(
        &mut self,
        now: Instant,
        clients: impl IntoIterator<Item = (&'c str, IpAddr, &'c Refereed<M>)>,
    ) {
        let clients: Vec<_> = clients.into_iter().collect();
        let mut ledger = self.ledger.clone();
        for (_, addr, client) in &clients {
            ledger.add(*addr, client.traffic());
        }
        for (host, addr, _) in clients {
            if let Some(excess) = ledger.excess(addr) {
                self.breach(now, host, Check::Bytes, || excess.to_string());
            }
        }
    }

    /// The client at `addr` runs no more; another may take its place.
    pub fn stopped<M: ripcurrent_proto::drive::Machine>(
        &mut self,
        addr: IpAddr,
        client: &Refereed<M>,
    ) {
        self.ledger.add(addr, client.traffic());
    }

    /// Looks at how far a leecher has come, in bytes. It must get on within `patience` while
    /// `may_get_on`: while it runs, is not complete, and everything it lacks is there for it.
    pub fn progress(
        &mut self,
        now: Instant,
        host: &str,
        bytes: u64,
        may_get_on: bool,
        patience: Duration,
    ) {
        let start = || Progress { bytes, since: now };
        let progress = match self.progress.get_mut(host) {
            Some(progress) => progress,
            None => self.progress.entry(host.to_owned()).or_insert_with(start),
        };
        if bytes != progress.bytes || !may_get_on {
            *progress = start();
        } else if now > progress.since + patience {
            let since = progress.since;
            let detail = || format!("{bytes} bytes and no more since {since}");
            self.breach(now, host, Check::Stalled, detail);
        }
    }

    /// The end: an honest leecher had everything at `completed`, and should have by `due`.
    pub fn finished(&mut self, now: Instant, host: &str, completed: Option<Instant>, due: Instant) {
        if completed.is_none_or(|at| at > due) && now >= due {
            let when = completed.map_or("never".to_owned(), |at| at.to_string());
            let detail = || format!("complete: {when}; due: {due}");
            self.breach(now, host, Check::Liveness, detail);
        }
    }

    fn at_most(
        &mut self,
        now: Instant,
        host: &str,
        check: Check,
        what: &str,
        count: usize,
        most: usize,
    ) {
        if count > most {
            let detail = || format!("{count} {what}, where {most} are allowed");
            self.breach(now, host, check, detail);
        }
    }

    fn breach(&mut self, at: Instant, host: &str, check: Check, detail: impl FnOnce() -> String) {
        let same = |breach: &Breach| breach.check == check && breach.host == host;
        if !self.breaches.iter().any(same) {
            self.breaches.push(Breach {
                at,
                host: host.to_owned(),
                check,
                detail: detail(),
            });
        }
    }
}
