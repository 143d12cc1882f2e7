//! One suite for every backend: the same script of intents, the same observable results.
//!
//! A [`Case`] is one or two [`Script`]s. A script is a [`Machine`](crate::drive::Machine) that asks
//! a backend for things, checks every answer against the contract of [`crate::api`], and
//! knows when it is finished or why it failed. The suite never sleeps and never asks for the time:
//! a host drives the scripts in real or in virtual time.
//!
//! A host does this for each of [`cases`]:
//!
//! 1. Make an [`Env`]: addresses, an empty folder, and what the host can offer besides.
//! 2. Ask [`Case::unmet`] and skip the case, visibly, where it names something.
//! 3. If there is a [`Case::listener`], run it on a backend that listens at [`Env::listener`];
//!    once that one listens, run [`Case::dialler`] on another backend.
//! 4. Turn each until [`Script::outcome`] has one. A script that waits in vain fails by itself
//!    after [`PATIENCE`] of its host's time.
//!
//! What is checked in every case, whatever its scene: each operation completes exactly once; every
//! buffer comes home, unchanged in kind and before `Closed`; `Closed` comes once, after `Close`, and
//! nothing after it; `Ended` comes at most once and no data after it; no more data than the credit
//! and one receive allow.

mod closing;
mod disk;
mod ledger;
mod net;
mod pieces;
mod protected;
mod script;
mod seeding;
mod stage;
mod unfinished;
mod work;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::base::time::Duration;

pub use script::Script;
use stage::Stage;

/// How long a script waits for its end, in its host's time.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Why a script failed: a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// What a scene comes to.
type Verdict = Result<(), Failure>;

/// A scene being played.
type Scene = Pin<Box<dyn Future<Output = Verdict>>>;

/// How one role of a case begins.
type Play = fn(Env, Stage) -> Scene;

/// Something a host may or may not offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Silence,
    Files,
    Links,
    LockedRoot,
    KnownName,
    UnknownName,
    Protected,
}

/// One scene of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name, unlike every other's.
    pub name: &'static str,
    /// What it proves, in a sentence.
    pub proves: &'static str,
    needs: &'static [Need],
    listener: Option<Play>,
    dialler: Play,
}

/// What the host offers to a case.
#[derive(Clone)]
pub struct Env {
    /// Where the host of the listening role listens.
    pub listener: SocketAddr,
    /// An address that refuses connections.
    pub refusing: SocketAddr,
    /// An address that answers nothing at all, so that a connection to it stays in the making.
    pub silent: Option<SocketAddr>,
    /// The most bytes that one receive may bring beyond the credit.
    pub receive_slack: u64,
    /// The folder of the dialling role's disk, there and empty when the case begins.
    pub root: Arc<str>,
    /// A folder in which the system lets nothing be created.
    pub locked_root: Option<Arc<str>>,
    /// A look at the same disk from outside.
    pub files: Option<Arc<dyn Files + Send + Sync>>,
    /// A name that resolves to a loopback address.
    pub known_name: Option<String>,
    /// A name that does not exist.
    pub unknown_name: Option<String>,
    /// The far end of TLS, where the host has one.
    pub protected: Option<Protected>,
    /// How the two roles wait for each other.
    pub flags: Flags,
}

/// What takes connections that are protected by TLS, and passes on what is said to
/// [`Env::listener`]. In a world where TLS hides nothing that is the listening role itself.
#[derive(Clone, Debug)]
pub struct Protected {
    /// Where it listens.
    pub addr: SocketAddr,
    /// A name that it can prove to have.
    pub name: String,
}

/// The disk of the dialling role, from outside. Paths are absolute: [`Env::root`] and a relative
/// path, with `/` between. All calls are made while the script is being handled.
pub trait Files {
    /// Makes a file with these bytes, and the folders it needs.
    fn put(&self, path: &str, bytes: &[u8]);
    /// Makes a folder, and those it needs.
    fn make_folder(&self, path: &str);
    /// Makes `path` a symbolic link to the absolute path `target`; whether this disk has links.
    fn link(&self, path: &str, target: &str) -> bool;
    /// The bytes of a file that is there.
    fn read(&self, path: &str) -> Option<Vec<u8>>;
    /// Whether [`link`](Self::link) works at all.
    fn has_links(&self) -> bool;
}

/// Marks that both roles of a case can set and see; they need no common clock.
#[derive(Clone, Debug, Default)]
pub struct Flags(Arc<AtomicU32>);

impl Flags {
    fn raise(&self, flag: u32) {
        self.0.fetch_or(1 << flag, Ordering::SeqCst);
    }

    fn is_up(&self, flag: u32) -> bool {
        self.0.load(Ordering::SeqCst) >> flag & 1 == 1
    }
}

/// Every case of the suite.
#[must_use]
pub fn cases() -> Vec<Case> {
    let rooms = [
        net::CASES,
        protected::CASES,
        closing::CASES,
        disk::CASES,
        pieces::CASES,
        unfinished::CASES,
        seeding::CASES,
        work::CASES,
    ];
    rooms.concat()
}

impl Case {
    /// What this case needs and `env` does not offer.
    #[must_use]
    pub fn unmet(&self, env: &Env) -> Option<&'static str> {
        self.needs.iter().find_map(|need| need.unmet(env))
    }

    /// The role that listens, where the case has two.
    #[must_use]
    pub fn listener(&self, env: &Env) -> Option<Script> {
        let play = self.listener?;
        Some(Script::new("listener", env, play))
    }

    /// The role that dials, or the only one.
    #[must_use]
    pub fn dialler(&self, env: &Env) -> Script {
        Script::new("dialler", env, self.dialler)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

impl Need {
    fn unmet(self, env: &Env) -> Option<&'static str> {
        let files = env.files.as_ref();
        let (met, missing) = match self {
            Need::Silence => (env.silent.is_some(), "an address that answers nothing"),
            Need::Files => (files.is_some(), "a look at the disk from outside"),
            Need::Links => (
                files.is_some_and(|files| files.has_links()),
                "symbolic links",
            ),
            Need::LockedRoot => (
                env.locked_root.is_some(),
                "a folder that the system protects",
            ),
            Need::KnownName => (env.known_name.is_some(), "a resolver"),
            Need::Protected => (env.protected.is_some(), "a far end of TLS"),
            Need::UnknownName => (env.unknown_name.is_some(), "a resolver that says no"),
        };
        (!met).then_some(missing)
    }
}

/// Byte `at` of the endless stream number `seed`, which scenes send and recognise.
fn pattern(seed: u64, at: u64) -> u8 {
    let mixed = (at ^ seed.wrapping_mul(0x9e37_79b9)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed >> 40) as u8
}

/// `len` bytes of stream `seed`, from its byte `from`.
fn patterned(seed: u64, from: u64, len: usize) -> Vec<u8> {
    (from..from + len as u64)
        .map(|at| pattern(seed, at))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unlike_one_another() {
        let mut names: Vec<_> = cases().iter().map(|case| case.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
