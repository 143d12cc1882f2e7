//! Floor 2: one conversation with a peer.
//!
//! [`opening`] is the handshake; it ends in a [`Peer`]. The peer knows its own side of the
//! conversation and nothing of pieces in memory or of other peers: the torrent decides.

pub mod opening;
pub mod pipeline;
pub mod upload;

use core::net::SocketAddr;

use alloc::string::String;
use smallvec::SmallVec;

use crate::base::bits::{BadBitfield, Bitfield};
use crate::base::rate::Meter;
use crate::base::time::{Duration, Instant};
use crate::meta::layout::{Block, PieceIndex};
use crate::wire::Malformed;
use crate::wire::handshake::Reserved;

use pipeline::Pipeline;
use upload::UploadQueue;

/// A peer from which nothing came for this long is gone.
pub const IDLE_LIMIT: Duration = Duration::from_secs(125);
/// After this long without sending, a keep-alive goes out.
pub const KEEP_ALIVE: Duration = Duration::from_secs(100);
/// A peer that owes us blocks and sends none for this long is snubbing us: others are asked.
pub const SNUB_AFTER: Duration = Duration::from_secs(30);
/// The most allowed-fast pieces kept for one peer (BEP 6 suggests 10).
pub const ALLOWED_FAST_MAX: usize = 32;

/// A breach of the protocol: the peer is disconnected, and remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A frame that cannot be.
    #[error("malformed message: {0}")]
    Malformed(#[from] Malformed),
    /// A bitfield that does not fit the torrent.
    #[error("bad bitfield: {0}")]
    Bitfield(#[from] BadBitfield),
    /// A have-none that is not the first message (BEP 6). A bitfield or a have-all may come later, as
    /// the sum of many haves: aria2 does that, whatever BEP 3 and 6 say.
    #[error("have-none after other messages")]
    LateHaveNone,
    /// With the fast extension, the first message must tell what the peer has (BEP 6).
    #[error("the first message does not tell what the peer has")]
    NoBitfield,
    /// A message of the fast extension, which was not agreed on (BEP 6).
    #[error("a message of the fast extension, which was not negotiated")]
    NotFast,
    /// A piece index past the end.
    #[error("piece {0} does not exist")]
    NoSuchPiece(u32),
    /// A request for a range that does not exist or is over 16 KiB, again and again.
    #[error("requests out of range")]
    Requests,
    /// Blocks nobody asked for, again and again.
    #[error("unrequested blocks")]
    Unrequested,
    /// A rejection of something that was not asked, again and again (BEP 6).
    #[error("rejections of what was not requested")]
    Rejections,
}

/// How many small sins a peer may commit before it counts as a [`Violation`]: late cancels and
/// rejections cross on the wire, so a few prove nothing.
const SINS_MAX: u32 = 64;

/// The most withdrawn requests whose blocks are let pass.
const WITHDRAWN_MAX: usize = 1000;

/// A block on its way to us.
#[derive(Debug)]
pub struct Arriving<W> {
    /// Which.
    pub block: Block,
    /// When it was asked for.
    pub asked_at: Instant,
    /// The right to write it, or `None` if its bytes are thrown away.
    pub writer: Option<W>,
}

/// One peer after its handshake. `W` is the token for a block being written.
#[derive(Debug)]
pub struct Peer<W> {
    /// Its address as we see it.
    pub addr: SocketAddr,
    /// Its peer id (BEP 20).
    pub id: [u8; 20],
    /// What it offered in its handshake.
    pub reserved: Reserved,
    /// Its name for itself, or what its peer id tells.
    pub client: String,
    /// Whether it connected to us.
    pub incoming: bool,
    /// The pieces it told of.
    pub have: Bitfield,
    /// It chokes us.
    pub chokes_us: bool,
    /// It wants something from us.
    pub wants_us: bool,
    /// We choke it.
    pub choked: bool,
    /// We want something from it.
    pub wanted: bool,
    /// What we asked of it.
    pub pipeline: Pipeline,
    /// The block it is sending now.
    pub arriving: Option<Arriving<W>>,
    /// Requests withdrawn without an answer being due, whose blocks may still come.
    withdrawn: usize,
    /// What it asked of us.
    pub uploads: UploadQueue,
    /// Pieces it lets us have while it chokes us (BEP 6).
    pub allowed_fast: SmallVec<[PieceIndex; 10]>,
    /// How far it was told of our new pieces.
    pub have_cursor: usize,
    /// Bytes of blocks it gave us.
    pub down: Meter,
    /// Bytes of blocks we gave it.
    pub up: Meter,
    /// When it was adopted.
    pub connected_at: Instant,
    /// When we unchoked it or, after that, choked it last; `None` if we never unchoked it.
    pub switched_at: Option<Instant>,
    /// When anything came last.
    pub heard_at: Instant,
    /// When anything was sent last.
    pub spoke_at: Instant,
    /// When a block, or part of one, came last, or the first of the blocks owed was asked for.
    pub progress_at: Instant,
    /// It owes us blocks and does not send them.
    pub snubbed: bool,
    /// It rejected a request though it does not choke us: it is left alone for a while, since
    /// asking again at once would go round in circles.
    pub refusing: bool,
    sins: u32,
}

impl<W> Peer<W> {
    /// A peer fresh from its handshake: both sides choke, nobody is interested (BEP 3).
    #[must_use]
    pub fn new(now: Instant, addr: SocketAddr, opened: &opening::Opened, pieces: usize) -> Self {
        Peer {
            addr,
            id: opened.handshake.peer_id,
            reserved: opened.handshake.reserved,
            client: crate::wire::peer_id::client_name(&opened.handshake.peer_id),
            incoming: opened.incoming,
            have: Bitfield::new(pieces),
            chokes_us: true,
            wants_us: false,
            choked: true,
            wanted: false,
            pipeline: Pipeline::new(),
            arriving: None,
            withdrawn: 0,
            uploads: UploadQueue::default(),
            allowed_fast: SmallVec::new(),
            have_cursor: 0,
            down: Meter::default(),
            up: Meter::default(),
            connected_at: now,
            switched_at: None,
            heard_at: now,
            spoke_at: now,
            progress_at: now,
            snubbed: false,
            refusing: false,
            sins: 0,
        }
    }

    /// Whether the fast extension was agreed on: we always offer it (BEP 6).
    #[must_use]
    pub fn is_fast(&self) -> bool {
        self.reserved.fast()
    }

    /// When something may have to be done about this peer's silence or ours.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let silence = (self.heard_at + IDLE_LIMIT).min(self.spoke_at + KEEP_ALIVE);
        if self.pipeline.owes() {
            silence.min(self.progress_at + SNUB_AFTER)
        } else {
            silence
        }
    }

    /// Whether a part of `block` has come and the rest is on its way: its request is answered, and
    /// asking again would bring it twice.
    #[must_use]
    pub fn is_sending(&self, block: Block) -> bool {
        let arriving = self.arriving.as_ref();
        arriving.is_some_and(|arriving| arriving.block == block)
    }

    /// Requests were withdrawn without an answer being due (BEP 3): their blocks may be on the wire.
    pub fn withdrew(&mut self, requests: usize) {
        self.withdrawn = (self.withdrawn + requests).min(WITHDRAWN_MAX);
    }

    /// A block came that is not awaited.
    ///
    /// # Errors
    /// If that cannot be explained by requests that were withdrawn, too often.
    pub fn unrequested(&mut self) -> Result<(), Violation> {
        if self.withdrawn > 0 {
            self.withdrawn -= 1;
            return Ok(());
        }
        self.sin(Violation::Unrequested)
    }

    /// Counts a small sin.
    ///
    /// # Errors
    /// `violation`, when there were too many.
    pub fn sin(&mut self, violation: Violation) -> Result<(), Violation> {
        self.sins += 1;
        if self.sins > SINS_MAX {
            Err(violation)
        } else {
            Ok(())
        }
    }

    /// Forgives one sin for every honest block, so that a long and useful life is not held against
    /// anybody.
    pub fn absolve(&mut self) {
        self.sins = self.sins.saturating_sub(1);
    }
}
