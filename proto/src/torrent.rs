//! Floor 3: one torrent. Composes the machines of floor 2 and decides what they do together.
//!
//! Split by direction: [`check`] finds out what is there, [`download`] fetches, [`durable`] makes it
//! last, [`sections`] does both with pieces too long to be held, [`room`] waits for room on the disk, [`upload`] serves, [`control`] obeys people, [`messages`] takes in what peers say, [`peers`] comes and goes, [`discovery`] finds peers,
//! [`leave`] ends it all in good order; [`memory`] adds up what it may take.
//!
//! A piece is in one of these states, told by who holds it:
//! - *had*: in `have`, verified and written;
//! - *in flight*: its slab travels with a hash or a write, the picker holds it complete;
//! - *open*: the picker tracks its blocks, `assembly` its slab, or those of its sections;
//! - *missing*: none of these.

mod check;
mod control;
mod discovery;
mod download;
mod durable;
mod gate;
mod leave;
pub(crate) mod links;
pub(crate) mod memory;
mod messages;
pub(crate) mod peers;
mod room;
mod sections;
mod sessions;
pub(crate) mod shared;
mod slabs;
mod spares;
mod tally;
pub(crate) mod turns;
mod upload;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::api::{
    Access, Add, Check, Config, Disk, DiskError, Event, FileStats, Found, Mode, Output, PeerStats,
    Phase, TorrentStats, Waste,
};
use crate::base::bits::Bitfield;
use crate::base::id::{ConnId, TorrentId};
use crate::base::rate::Meter;
use crate::base::rng::Rng;
use crate::base::set::OrderedSet;
use crate::base::time::Instant;
use crate::choke::Choker;
use crate::meta;
use crate::meta::layout::{FileIndex, Layout, PieceIndex, Priority};
use crate::peer::Peer;
use crate::picker::Picker;
use crate::store::assembly::{Assembly, Writer};
use crate::store::ledger::Ledger;
use crate::store::suspects::Suspects;
use crate::swarm::Swarm;
use crate::tracker::schedule::{Announcer, Identity};

use sessions::{Session, Sessions};
use shared::{Alarm, Op, Shared, Timer};

/// How many departed peers are remembered by their address, in case a piece of theirs fails.
const DEPARTED_MAX: usize = 256;

/// One torrent of an engine.
#[derive(Debug)]
pub(crate) struct Torrent {
    id: TorrentId,
    info_hash: [u8; 20],
    /// What tells its pieces' hashes: for good if it came with them, else while they are needed.
    whole: Option<Arc<meta::Torrent>>,
    /// It came with its pieces' hashes.
    came_whole: bool,
    layout: Arc<Layout>,
    mode: Mode,
    check_mode: Check,
    phase: Phase,
    /// Peers are not spoken to until people say so.
    paused: bool,
    /// The storage was opened and not closed.
    storage_open: bool,
    /// How its files are opened.
    opening: (Arc<str>, Access),
    /// What of it is durable.
    ledger: Ledger,
    /// How it becomes so.
    pass: durable::Pass,
    /// What waits for room on the disk.
    room: room::Room,
    /// How pieces too long to be held are.
    sections: sections::Sections,
    /// Something was missing since the start: that it came to be complete is announced.
    fetching: bool,
    /// The files are to be deleted in the end.
    delete: bool,
    /// `Completed` was told.
    completed: bool,
    wanted: Bitfield,
    /// How urgently each file is to be fetched.
    file_priorities: Vec<Priority>,
    have: Bitfield,
    /// Pieces had since the start, in their order; peers read it with a cursor.
    have_log: Vec<PieceIndex>,
    check: check::Progress,
    picker: Picker,
    assembly: Assembly,
    suspects: Suspects,
    peers: Sessions,
    /// Peers that gave us something and are gone, the last ones.
    departed: VecDeque<(ConnId, IpAddr)>,
    /// Peers that were left without a block to ask for and may find one when something changes.
    hungry: OrderedSet<ConnId>,
    choker: Choker,
    swarm: Swarm,
    /// Outgoing connections not past their handshake.
    dialling: usize,
    announcer: Option<Announcer>,
    /// The connection to the tracker.
    tracker_conn: Option<ConnId>,
    rounds: Alarm,
    /// Since when there are no choking rounds: nobody is there, and nobody is looked for.
    resting: Option<Instant>,
    vacancies: Alarm,
    haves: Alarm,
    /// By when every peer hears of the pieces had since it was last so.
    haves_due: Option<Instant>,
    dials: Alarm,
    announces: Alarm,
    down: Meter,
    up: Meter,
    /// What was last read to be sent had to be waited for.
    reads_slowly: bool,
    wasted: Waste,
}

impl Torrent {
    /// A torrent that opens its files.
    pub(crate) fn new(now: Instant, add: Add, info_hash: [u8; 20], shared: &mut Shared) -> Self {
        let layout = add.torrent.layout().clone();
        let pieces = layout.pieces() as usize;
        let rng = shared.rng.fork(&alloc::format!("torrent {}", add.id.0));
        let sections = sections::Sections::new(&layout, shared.config.memory_budget);
        let file_priorities = file_priorities(&add, &layout);
        let wanted = wanted(&add, &layout, &file_priorities);
        let mut picker = picker(&add, &layout, &wanted, rng.fork("picker"));
        picker.set_section(sections.blocks());
        let access = match add.mode {
            Mode::Download => Access::Write {
                preallocate: add.preallocate,
                overwrite: add.overwrite,
            },
            Mode::Seed => Access::Read,
        };
        let identity = Identity {
            info_hash,
            peer_id: shared.peer_id,
            user_agent: shared.config.client_name,
        };
        let loopback_only = shared.config.loopback_only;
        let announcer = (add.announce && !add.torrent.trackers().is_empty()).then(|| {
            Announcer::new(
                add.torrent.trackers(),
                identity,
                rng.fork("tracker"),
                loopback_only,
            )
        });
        let mut torrent = Torrent {
            id: add.id,
            info_hash,
            mode: add.mode,
            check_mode: add.check,
            phase: Phase::Opening,
            paused: false,
            storage_open: true,
            opening: (add.root, access),
            ledger: Ledger::new(layout.clone(), &Found::default()),
            pass: durable::Pass::default(),
            room: room::Room::default(),
            sections,
            fetching: false,
            delete: false,
            completed: false,
            wanted,
            file_priorities,
            have: Bitfield::new(pieces),
            have_log: Vec::new(),
            layout,
            check: check::Progress::default(),
            picker,
            assembly: Assembly::default(),
            suspects: Suspects::default(),
            peers: Sessions::default(),
            departed: VecDeque::new(),
            hungry: OrderedSet::new(),
            choker: Choker::new(rng.fork("choke"), shared.config.upload_slots),
            swarm: Swarm::new(loopback_only),
            dialling: 0,
            announcer,
            tracker_conn: None,
            rounds: Alarm::default(),
            resting: None,
            vacancies: Alarm::default(),
            haves: Alarm::default(),
            haves_due: None,
            dials: Alarm::default(),
            announces: Alarm::default(),
            down: Meter::default(),
            up: Meter::default(),
            reads_slowly: false,
            wasted: Waste::default(),
            came_whole: add.torrent.has_pieces(),
            whole: Some(add.torrent).filter(|torrent| torrent.has_pieces()),
        };
        torrent.open(shared);
        let first = now + crate::choke::ROUND;
        torrent
            .rounds
            .set(&mut shared.timers, first, Timer::Choke(torrent.id));
        torrent
    }

    /// Has its files opened.
    fn open(&mut self, shared: &mut Shared) {
        self.phase = Phase::Opening;
        self.storage_open = true;
        let (root, access) = self.opening.clone();
        let (op, storage) = (shared.begin(self.id, Op::Open), self.id);
        shared.push(Output::Disk(Disk::Open {
            op,
            storage,
            root,
            info_hash: self.info_hash,
            layout: self.layout.clone(),
            access,
        }));
    }

    /// Its v1 info-hash.
    pub(crate) fn info_hash(&self) -> [u8; 20] {
        self.info_hash
    }

    /// How many peers are unchoked.
    pub(crate) fn unchoked(&self) -> usize {
        self.sessions().filter(|peer| !peer.choked).count()
    }

    /// The most that may be: a seed on a fast line may have slots for all.
    pub(crate) fn slots(&self, shared: &Shared) -> usize {
        let Config {
            upload_slots,
            max_peers,
            ..
        } = shared.config;
        match (self.phase, upload_slots) {
            (Phase::Seeding, 1..) => upload_slots.max(max_peers),
            _ => upload_slots,
        }
    }

    /// Whether peers are spoken to.
    fn is_live(&self) -> bool {
        !self.paused && matches!(self.phase, Phase::Downloading | Phase::Seeding)
    }

    /// What it is doing, as people see it.
    fn visible_phase(&self) -> Phase {
        match self.phase {
            Phase::Downloading | Phase::Seeding if self.paused => Phase::Paused,
            Phase::Downloading if self.lacks_room() => Phase::Full,
            phase => phase,
        }
    }

    /// The disk refused: stands still, and says why.
    fn fail(&mut self, now: Instant, action: &'static str, error: DiskError, shared: &mut Shared) {
        self.tell_disk_failed(action, error, shared);
        if self.phase != Phase::Leaving {
            self.phase = Phase::Failed;
            self.end_check(shared);
            self.stand_still(now, shared);
        }
    }

    fn tell_disk_failed(&self, action: &'static str, error: DiskError, shared: &mut Shared) {
        let torrent = self.id;
        shared.tell(Event::DiskFailed {
            torrent,
            action,
            error,
        });
    }

    /// The torrent, seen from outside.
    pub(crate) fn stats(&self, now: Instant) -> TorrentStats {
        TorrentStats {
            phase: self.visible_phase(),
            pieces: self.layout.pieces(),
            pieces_had: self.have.count() as u32,
            pieces_missing: self.picker.missing_wanted(),
            pieces_checked: self.check.done(),
            bytes_wanted: self.bytes_of(&self.wanted, &self.wanted),
            bytes_had: self.bytes_of(&self.wanted, &self.have),
            downloaded: self.down.total(),
            uploaded: self.up.total(),
            wasted: self.wasted,
            down_rate: self.down.rate(now),
            up_rate: self.up.rate(now),
            peers: self.peers.len(),
            seeds: self.sessions().filter(|peer| peer.have.is_full()).count(),
            unchoking_us: self.sessions().filter(|peer| !peer.chokes_us).count(),
            known: self.swarm.len(),
        }
    }

    /// Pieces that are verified and written.
    pub(crate) fn pieces_had(&self) -> &Bitfield {
        &self.have
    }

    /// Its connected peers, seen from outside.
    pub(crate) fn peer_stats(&self, now: Instant) -> impl Iterator<Item = PeerStats<'_>> {
        self.sessions().map(move |peer| PeerStats {
            addr: peer.addr,
            client: &peer.client,
            down_rate: peer.down.rate(now),
            up_rate: peer.up.rate(now),
            pieces: peer.have.count(),
            chokes_us: peer.chokes_us,
            wants_us: peer.wants_us,
            choked: peer.choked,
            wanted: peer.wanted,
            snubbed: peer.snubbed,
            incoming: peer.incoming,
        })
    }

    /// Its files, seen from outside.
    pub(crate) fn file_stats(&self) -> impl Iterator<Item = FileStats<'_>> {
        let files = self.layout.files().iter().zip((0..).map(FileIndex));
        files.map(|(entry, index)| FileStats {
            index,
            entry,
            bytes_had: self.bytes_had_of(index),
            priority: self.file_priorities[index.at()],
        })
    }

    fn bytes_had_of(&self, file: FileIndex) -> u64 {
        let entry = &self.layout.files()[file.at()];
        let had = self
            .layout
            .pieces_of(file)
            .map(PieceIndex)
            .filter(|piece| self.have.contains(piece.at()));
        let overlap = had.map(|piece| {
            let start = u64::from(piece.0) * u64::from(self.layout.piece_length());
            let end = start + u64::from(self.layout.piece_len(piece));
            end.min(entry.offset + entry.len) - start.max(entry.offset)
        });
        overlap.sum()
    }

    /// The bytes of the pieces that are in both sets.
    fn bytes_of(&self, set: &Bitfield, other: &Bitfield) -> u64 {
        if set.is_full() && other.is_full() {
            return self.layout.total_len();
        }
        let both = set.iter().filter(|piece| other.contains(*piece));
        both.map(|piece| u64::from(self.layout.piece_len(PieceIndex(piece as u32))))
            .sum()
    }

    fn sessions(&self) -> impl Iterator<Item = &Peer<Writer>> {
        self.peers.iter().map(|(_, session)| &session.peer)
    }
}

/// The picker of pieces that are wanted, while none is had.
fn picker(add: &Add, layout: &Arc<Layout>, wanted: &Bitfield, rng: Rng) -> Picker {
    if add.mode == Mode::Seed {
        return Picker::unwanted(layout.clone(), rng);
    }
    let mut picker = Picker::new(layout.clone(), rng);
    picker.set_sequential(add.sequential);
    for piece in (0..layout.pieces()).map(PieceIndex) {
        if !wanted.contains(piece.at()) {
            picker.set_priority(piece, Priority::Unwanted);
        }
    }
    picker
}

/// How urgently each file is to be fetched.
fn file_priorities(add: &Add, layout: &Layout) -> Vec<Priority> {
    let files = layout.files().len();
    let chosen = add.files.as_ref().filter(|chosen| chosen.len() == files);
    let priority = |at| match chosen.is_none_or(|chosen| chosen.contains(at)) {
        true => Priority::Normal,
        false => Priority::Unwanted,
    };
    (0..files).map(priority).collect()
}

/// The pieces that are wanted; to seed, none that are missing are.
fn wanted(add: &Add, layout: &Layout, priorities: &[Priority]) -> Bitfield {
    let pieces = layout.pieces() as usize;
    let mut wanted = match (&add.mode, &add.wanted) {
        (Mode::Seed, _) => return Bitfield::new(pieces),
        (Mode::Download, Some(wanted)) if wanted.len() == pieces => wanted.clone(),
        (Mode::Download, _) => Bitfield::full(pieces),
    };
    if priorities.iter().all(|priority| priority.is_wanted()) {
        return wanted;
    }
    for piece in (0..layout.pieces()).map(PieceIndex) {
        let spans = layout.spans(layout.whole(piece));
        let mut files = spans.iter().filter_map(|span| span.file);
        if !files.any(|file| priorities[file.at()].is_wanted()) {
            wanted.remove(piece.at());
        }
    }
    wanted
}
