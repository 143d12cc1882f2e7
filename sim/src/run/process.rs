//! What runs on a host, seen from the world.

use std::cell::RefCell;
use std::rc::Rc;

use ripcurrent_proto::api::{Command, Input, TorrentStats};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::{Machine, Tap};
use ripcurrent_proto::engine::Engine;

use super::TORRENT;
use crate::adversary::Adversary;
use crate::meter::Metered;
use crate::referee::{Refereed, Violation};
use crate::trace::Traced;

/// The engine with all that watches it.
pub(super) type Client = Tap<Traced<Metered<Refereed<Engine>>>>;

/// What runs on a host.
pub(super) enum Process {
    Client(Rc<RefCell<Client>>),
    Adversary(Rc<RefCell<Tap<Traced<Adversary>>>>),
}

/// The referee of a client, with its engine inside.
pub(super) fn referee(client: &mut Client) -> &mut Refereed<Engine> {
    client.machine().machine().machine()
}

/// The engine inside of a client.
pub(super) fn engine(client: &mut Client) -> &mut Engine {
    referee(client).machine_mut()
}

impl Process {
    /// What people tell a client to do; nobody tells an adversary anything.
    pub(super) fn command(&self, now: Instant, command: Command) {
        if let Process::Client(client) = self {
            client.borrow_mut().handle(now, Input::Command(command));
        }
    }

    /// What a client says of the torrent.
    pub(super) fn stats(&self, now: Instant) -> Option<TorrentStats> {
        match self {
            Process::Client(client) => engine(&mut client.borrow_mut()).stats(now, TORRENT),
            Process::Adversary(_) => None,
        }
    }

    /// Has `look` look at the pieces that a client has.
    pub(super) fn with_pieces<R>(&self, look: impl FnOnce(&Bitfield) -> R) -> Option<R> {
        match self {
            Process::Client(client) => {
                let mut client = client.borrow_mut();
                engine(&mut client).pieces_had(TORRENT).map(look)
            }
            Process::Adversary(_) => None,
        }
    }

    /// Bytes that a client received in connections.
    pub(super) fn received(&self) -> u64 {
        match self {
            Process::Client(client) => client.borrow_mut().machine().machine().received(),
            Process::Adversary(_) => 0,
        }
    }

    /// Stands for everything that it was told and answered.
    pub(super) fn digest(&self) -> [u8; 16] {
        match self {
            Process::Client(client) => client.borrow().digest(),
            Process::Adversary(adversary) => adversary.borrow().digest(),
        }
    }

    /// The rules that a client broke, if it ends now.
    pub(super) fn violations(&self, now: Instant) -> Vec<Violation> {
        match self {
            Process::Client(client) => {
                let mut client = client.borrow_mut();
                let referee = referee(&mut client);
                referee.end(now);
                referee.violations().to_vec()
            }
            Process::Adversary(_) => Vec::new(),
        }
    }
}
