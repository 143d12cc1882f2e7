//! A recorded run, played again through the same engine.
//!
//! The record says what happened and when; the engine must answer as it did then. Buffers that
//! operations took along are kept here until the record says that they came back.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use ripcurrent_proto::api::{
    Add, Command, ConfigError, Disk, DiskDone, Input, Mode, Net, Output, Transmission,
};
use ripcurrent_proto::base::bits::{BadBitfield, Bitfield};
use ripcurrent_proto::base::id::{ConnId, OpId};
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::record::{Added, Call, Kind, Order, Record, Told, mark};
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::{Torrent, TorrentError};

/// A run that was played again and came to the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Calls of the engine.
    pub calls: usize,
    /// Outputs, each as it was.
    pub outputs: usize,
    /// When the run ended.
    pub ended: Instant,
    /// The record breaks off, since its run was killed: what had come in is not all there.
    pub cut_off: bool,
}

/// Why a run could not be played again, or did not come to the same.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The settings do not work.
    #[error("the settings of the record do not work: {0}")]
    Config(#[from] ConfigError),
    /// A torrent file of the record is none.
    #[error("a torrent of the record: {0}")]
    Torrent(#[from] TorrentError),
    /// The pieces wanted do not fit the torrent.
    #[error("the wanted pieces of the record: {0}")]
    Wanted(#[from] BadBitfield),
    /// The engine did something else.
    #[error("call {call} at {at}: {what}")]
    Parted {
        /// The number of the call, from 1.
        call: usize,
        /// When it was.
        at: Instant,
        /// What is different.
        what: Difference,
    },
}

/// How a replay parts from its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Another output than the recorded one.
    Output(String),
    /// Nothing where there was an output.
    Silence,
    /// An output where there was none.
    Extra(String),
    /// A connection was taken where it was refused, or the reverse, or under another id.
    Accept(Option<ConnId>),
    /// The record answers what the engine did not ask.
    Unasked,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Output(output) => write!(f, "another output than recorded: {output}"),
            Difference::Silence => f.write_str("no output, and one was recorded"),
            Difference::Extra(output) => write!(f, "an output that was not recorded: {output}"),
            Difference::Accept(Some(conn)) => write!(f, "the connection was taken as {conn:?}"),
            Difference::Accept(None) => f.write_str("the connection was refused"),
            Difference::Unasked => f.write_str("the record answers what was not asked"),
        }
    }
}

/// Plays `record`.
///
/// # Errors
/// If the record holds what cannot be played, or the engine parts from it.
pub fn replay(record: Record) -> Result<Replayed, ReplayError> {
    let mut stage = Stage::new(&record)?;
    let mut incoming = record.incoming;
    let (calls, begun) = (record.calls.len(), record.begun);
    let mut replayed = Replayed {
        calls: 0,
        outputs: 0,
        ended: begun,
        cut_off: false,
    };
    for ((at, call), number) in record.calls.into_iter().zip(1..=calls) {
        let parted = |what| ReplayError::Parted {
            call: number,
            at,
            what,
        };
        match call {
            Call::Accept(from, expected) => {
                let taken = stage.engine.accept(at, from);
                if taken != expected {
                    return Err(parted(Difference::Accept(taken)));
                }
            }
            Call::Timeout => stage.engine.handle_timeout(at),
            Call::Polled(expected) => {
                stage.poll(at, expected).map_err(parted)?;
                replayed.outputs += usize::from(expected.is_some());
            }
            Call::Told(Told::Received(conn, len)) => {
                let came = incoming.get_mut(&conn).and_then(|came| came.take(len));
                let Some(mut data) = came else {
                    replayed.cut_off = true;
                    break;
                };
                let data = &mut data[..];
                stage.engine.handle(at, Input::Received { conn, data });
            }
            Call::Told(told) => {
                let input = stage.input(told)?;
                let input = input.ok_or_else(|| parted(Difference::Unasked))?;
                stage.engine.handle(at, input);
            }
        }
        // Nobody listens; the engine must not be kept busy with forgetting.
        while stage.engine.poll_event().is_some() {}
        replayed.calls = number;
        replayed.ended = at;
    }
    Ok(replayed)
}

/// The engine and what it has given away.
struct Stage {
    engine: Engine,
    torrents: Vec<Arc<Torrent>>,
    /// The slabs of operations under way.
    slabs: BTreeMap<OpId, Slab>,
    /// The transmissions under way on each connection, the oldest first.
    transmissions: BTreeMap<ConnId, VecDeque<Transmission>>,
}

impl Stage {
    fn new(record: &Record) -> Result<Self, ReplayError> {
        let parse = |file: &bytes::Bytes| Torrent::parse(file.clone()).map(Arc::new);
        let torrents = record.torrents.iter().map(parse);
        Ok(Stage {
            engine: Engine::new(record.config.clone(), record.seed, record.begun)?,
            torrents: torrents.collect::<Result<_, _>>()?,
            slabs: BTreeMap::new(),
            transmissions: BTreeMap::new(),
        })
    }

    /// Asks for the next output, which must be the recorded one.
    fn poll(&mut self, at: Instant, expected: Option<[u8; 8]>) -> Result<(), Difference> {
        let output = self.engine.poll_output(at);
        match (&output, expected) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(Difference::Silence),
            (Some(output), None) => return Err(Difference::Extra(format!("{output:?}"))),
            (Some(output), Some(expected)) if mark(output) != expected => {
                return Err(Difference::Output(format!("{output:?}")));
            }
            (Some(_), Some(_)) => {}
        }
        match output {
            Some(Output::Net(Net::Transmit { conn, transmission })) => {
                let queue = self.transmissions.entry(conn).or_default();
                queue.push_back(transmission);
            }
            Some(
                Output::Hash { op, slab }
                | Output::Disk(
                    Disk::Read { op, slab, .. }
                    | Disk::Write { op, slab, .. }
                    | Disk::Digest { op, slab, .. },
                ),
            ) => {
                self.slabs.insert(op, slab);
            }
            _ => {}
        }
        Ok(())
    }

    /// An input with its buffers; `None` if the engine did not give them away.
    fn input(&mut self, told: Told) -> Result<Option<Input<'static>>, ReplayError> {
        Ok(Some(match told {
            Told::Connected(conn) => Input::Connected { conn },
            Told::Received(..) => unreachable!("what came in is told apart"),
            Told::Sent(conn) => Input::Sent { conn },
            Told::Returned(conn) => {
                let under_way = self.transmissions.get_mut(&conn);
                let Some(transmission) = under_way.and_then(VecDeque::pop_front) else {
                    return Ok(None);
                };
                Input::Returned { conn, transmission }
            }
            Told::Ended(conn, reason) => Input::Ended { conn, reason },
            Told::Closed(conn) => Input::Closed { conn },
            Told::Bound(addr) => Input::Bound { addr },
            Told::Order(order) => return self.order(order),
            Told::Resolved(op, result) => Input::Resolved { op, result },
            Told::Opened(op, result) => Input::Disk(DiskDone::Opened { op, result }),
            Told::StorageClosed(op) => Input::Disk(DiskDone::Closed { op }),
            Told::Digested(op, result) => {
                let Some(slab) = self.slabs.remove(&op) else {
                    return Ok(None);
                };
                Input::Disk(DiskDone::Digested { op, slab, result })
            }
            Told::Synced(op, result) => Input::Disk(DiskDone::Synced { op, result }),
            Told::Disk(op, Kind::Finished, result) => {
                Input::Disk(DiskDone::Finished { op, result })
            }
            Told::Disk(op, Kind::Saved, result) => Input::Disk(DiskDone::Saved { op, result }),
            Told::Disk(op, Kind::Deleted, result) => Input::Disk(DiskDone::Deleted { op, result }),
            Told::Disk(op, kind @ (Kind::Read | Kind::Written), result) => {
                let Some(slab) = self.slabs.remove(&op) else {
                    return Ok(None);
                };
                Input::Disk(match kind {
                    Kind::Read => DiskDone::Read { op, slab, result },
                    _ => DiskDone::Written { op, slab, result },
                })
            }
            Told::Hashed(op, digest) => {
                let Some(slab) = self.slabs.remove(&op) else {
                    return Ok(None);
                };
                Input::Hashed { op, slab, digest }
            }
        }))
    }

    fn order(&self, order: Order) -> Result<Option<Input<'static>>, ReplayError> {
        let command = match order {
            Order::Add(added) => match self.add(added)? {
                Some(add) => Command::Add(add),
                None => return Ok(None),
            },
            Order::AddPeer(torrent, addr) => Command::AddPeer { torrent, addr },
            Order::Remove(torrent, data) => Command::Remove { torrent, data },
            Order::Pause(torrent) => Command::Pause { torrent },
            Order::Resume(torrent) => Command::Resume { torrent },
            Order::Recheck(torrent) => Command::Recheck { torrent },
            Order::Reannounce(torrent) => Command::Reannounce { torrent },
            Order::SetPriority(torrent, file, priority) => Command::SetPriority {
                torrent,
                file,
                priority,
            },
            Order::SetLimits([down, up]) => Command::SetLimits { down, up },
            Order::SetTorrentLimits(torrent, [down, up]) => {
                Command::SetTorrentLimits { torrent, down, up }
            }
            Order::Supply(torrent, info_hash) => match self.torrent_of(info_hash) {
                Some(whole) => Command::Supply { torrent, whole },
                None => return Ok(None),
            },
            Order::ShutDown => Command::ShutDown,
        };
        Ok(Some(Input::Command(command)))
    }

    fn torrent_of(&self, info_hash: [u8; 20]) -> Option<Arc<Torrent>> {
        let is_meant = |torrent: &&Arc<Torrent>| torrent.hashes().v1 == Some(info_hash);
        self.torrents.iter().find(is_meant).map(Arc::clone)
    }

    fn add(&self, added: Added) -> Result<Option<Add>, ReplayError> {
        let Some(torrent) = self.torrent_of(added.info_hash) else {
            return Ok(None);
        };
        let pieces = torrent.layout().pieces() as usize;
        let files = torrent.layout().files().len();
        let [down_limit, up_limit] = added.limits;
        let read = |bits: Option<Vec<u8>>, len| bits.map(|bits| Bitfield::from_wire(&bits, len));
        Ok(Some(Add {
            id: added.id,
            torrent: match added.has_pieces {
                true => torrent,
                false => Arc::new((*torrent).clone().without_pieces()),
            },
            root: "".into(),
            wanted: read(added.wanted, pieces).transpose()?,
            files: read(added.files, files).transpose()?,
            sequential: added.sequential,
            mode: match added.downloads {
                true => Mode::Download,
                false => Mode::Seed,
            },
            check: added.check,
            announce: added.announces,
            preallocate: added.preallocates,
            overwrite: added.overwrites,
            down_limit,
            up_limit,
        }))
    }
}
