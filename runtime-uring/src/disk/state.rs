//! The state of one storage: a file that is replaced in one step, and locked against other
//! processes as long as it is held.
//!
//! The lock is one of POSIX, as only of those the system tells who holds them (`F_GETLK`). It has
//! two traps. It ends when this process closes *any* descriptor of the file, so a storage of this
//! process that has the state already is found in a table, before the file is opened. And it is
//! tied to the file, not to its name: whoever has locked a file looks whether it still has the
//! name.
//!
//! Invariant: while a [`StateFile`] is there, the file that has the name is locked by this process,
//! and its identity is in [`HELD`].

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use ripcurrent_proto::api::{IoError, IoErrorKind};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::{Flock, FlockType};

use super::home::{Home, Identity};
use super::looks::Looks;
use super::paths::{Mode, is_missing, look, open_file, remove, rename};
use crate::errno;
use crate::pool::lock;

/// How often the lock is tried while others take it and let it go.
const ATTEMPTS: usize = 100;

/// The states that storages of this process hold.
static HELD: Mutex<BTreeSet<Identity>> = Mutex::new(BTreeSet::new());

/// A state file that is held.
pub(super) struct StateFile {
    home: Arc<Home>,
    /// Closed before the claim ends: closing it later would end the lock of who comes next.
    file: File,
    /// Whether `file` still has its name.
    named: bool,
    _claim: Claim,
}

impl StateFile {
    /// Takes hold of the state, which is made empty if it is not there.
    ///
    /// # Errors
    /// [`IoErrorKind::InUse`] with the process that holds it, or whatever the system says.
    pub(super) fn hold(home: &Arc<Home>) -> Result<Self, IoError> {
        let word = |error| errno::io_error(&error);
        let claim = Claim::new(home.identity().map_err(word)?)?;
        for _ in 0..ATTEMPTS {
            let file = open_or_make(home).map_err(word)?;
            match try_lock(&file).map_err(word)? {
                Attempt::HeldBy(holder) => return Err(in_use(holder)),
                Attempt::Locked if is_called(&file, home).map_err(word)? => {
                    // A process may have been killed while it wrote one.
                    remove(home.folder(), &home.new).map_err(word)?;
                    return Ok(StateFile {
                        home: Arc::clone(home),
                        file,
                        named: true,
                        _claim: claim,
                    });
                }
                // It was replaced, removed or let go meanwhile.
                Attempt::Locked | Attempt::LetGo => {}
            }
        }
        Err(in_use(0))
    }

    /// What was saved last: at most `most` bytes and at least one.
    pub(super) fn content(&self, most: usize) -> io::Result<Option<Vec<u8>>> {
        let mut content = Vec::new();
        (&self.file).rewind()?;
        let one_more = (most as u64).saturating_add(1);
        (&self.file).take(one_more).read_to_end(&mut content)?;
        let fits = !content.is_empty() && content.len() <= most;
        Ok(fits.then_some(content))
    }

    /// Replaces the state in one durable step. The new file is locked before it gets the name.
    pub(super) fn replace(&mut self, content: &[u8]) -> io::Result<()> {
        let folder = self.home.folder();
        let written = write_new(&self.home, content)
            .and_then(|file| rename(folder, &self.home.new, &self.home.state, true).map(|()| file));
        match written {
            Ok(file) => self.file = file,
            Err(error) => {
                // Its room may be what the disk lacks.
                let _ = remove(folder, &self.home.new);
                return Err(error);
            }
        }
        self.home.sync()
    }

    /// Removes the state, and lets it go.
    pub(super) fn remove(mut self) -> io::Result<()> {
        remove(self.home.folder(), &self.home.state)?;
        self.named = false;
        Ok(())
    }
}

impl Drop for StateFile {
    /// Removes what was made only to be locked. Whoever waits for it finds that what is locked then
    /// has no name.
    fn drop(&mut self) {
        let empty = |file: &File| file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        if self.named && empty(&self.file) {
            let _ = remove(self.home.folder(), &self.home.state);
        }
    }
}

/// A line in the table of what this process holds.
struct Claim(Identity);

impl Claim {
    fn new(identity: Identity) -> Result<Self, IoError> {
        if lock(&HELD).insert(identity.clone()) {
            Ok(Claim(identity))
        } else {
            Err(in_use(std::process::id().cast_signed()))
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&HELD).remove(&self.0);
    }
}

fn in_use(holder: i32) -> IoError {
    IoError {
        kind: IoErrorKind::InUse,
        code: holder,
    }
}

fn open_or_make(home: &Home) -> io::Result<File> {
    let folder = home.folder();
    match open_file(folder, &home.state, Mode::Write) {
        Err(error) if is_missing(&error) => {
            let made = open_file(folder, &home.state, Mode::Create { executable: false });
            match made {
                // Another process was faster, or something that is no file is in the way.
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                    open_file(folder, &home.state, Mode::Write)
                }
                made => made,
            }
        }
        opened => opened,
    }
}

/// What came of trying to lock.
enum Attempt {
    Locked,
    /// By this process, or 0 where the system does not know it.
    HeldBy(i32),
    /// Somebody had it a moment ago.
    LetGo,
}

fn try_lock(file: &File) -> io::Result<Attempt> {
    match rustix::fs::fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(Attempt::Locked),
        Err(Errno::AGAIN | Errno::ACCESS) => {}
        Err(error) => return Err(error.into()),
    }
    let whole = Flock::from(FlockType::WriteLock);
    let holder = rustix::process::fcntl_getlk(file, &whole)?;
    Ok(holder.map_or(Attempt::LetGo, |lock| {
        Attempt::HeldBy(lock.pid.map_or(0, |pid| pid.as_raw_nonzero().get()))
    }))
}

/// Whether the state's name belongs to `file`.
fn is_called(file: &File, home: &Home) -> io::Result<bool> {
    let ours = Looks::of(&file.metadata()?);
    let there = look(home.folder(), &home.state)?;
    Ok(there.is_some_and(|there| there.identity == ours.identity))
}

/// Writes the next state to a file of its own, locked and durable.
fn write_new(home: &Home, content: &[u8]) -> io::Result<File> {
    let create = Mode::Create { executable: false };
    let mut file = open_file(home.folder(), &home.new, create)?;
    rustix::fs::fcntl_lock(file.as_fd(), FlockOperation::NonBlockingLockExclusive)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(file)
}
