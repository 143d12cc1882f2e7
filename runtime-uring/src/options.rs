//! What the host decides, and what can keep it from starting.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use crate::choice::Choice;
use crate::tls::Roots;

/// The settings of a host.
#[derive(Debug)]
pub struct Options {
    /// What carries out.
    pub backend: Choice,
    /// The local address: for listening and for outgoing connections of its family. `::` stands for
    /// every address of both families.
    pub bind: IpAddr,
    /// Whether and where to listen.
    pub listen: Listen,
    /// Nothing but loopback addresses is dialled, accepted or resolved, whatever the engine asks
    /// for: the second line of defence behind the engine's own `loopback_only`.
    pub loopback_only: bool,
    /// Authorities whose certificates are believed besides those of the system's.
    pub extra_roots: Roots,
    /// The most descriptors of files kept open between operations: one for each file, two for each
    /// that is written directly, and two for each storage that is open to write. An operation of a
    /// disk thread may hold two more.
    pub max_open_files: usize,
    /// Where the states of storages go that are opened to read, and of those to write that cannot lie
    /// beside their files; made if need be. Without it the first have none, and the others are not
    /// opened.
    pub state_home: Option<PathBuf>,
    /// Whether pieces that are large enough are written past the page cache, where the file system
    /// can do that. It saves most of what writing costs; what was written is read from the disk
    /// again when it is served.
    pub direct_writes: bool,
    /// Threads that hash. One hashes 2 GiB/s piece by piece with SHA extensions, several times that
    /// in batches ([`hash`](crate::hash)), and 0.5 GiB/s where a processor has nothing for it. So
    /// one keeps up with what the loop can receive: beside it, on two cores, a second one changed
    /// neither the rate nor the processor time (`examples/throughput.rs`, medians of 7).
    pub hash_threads: usize,
    /// The most bytes of pieces that wait to be hashed together; a larger piece goes alone. Batches
    /// are as wide as the kernels where 16 pieces fit into this. What waits is memory of the
    /// engine's budget: this should be a small part of that.
    pub hash_batch_bytes: usize,
    /// Threads that read, write and sync files, so that one slow sync does not hold up all reads.
    pub disk_threads: usize,
    /// Entries of a ring's submission queue, rounded up to a power of two by the kernel.
    pub ring_entries: u32,
}

/// Whether and where to listen for peers.
#[derive(Debug)]
pub enum Listen {
    /// Nobody can connect to us.
    No,
    /// On this port of [`Options::bind`]; 0 lets the system choose. `Input::Bound` tells.
    Port(u16),
    /// On a socket that listens already.
    On(TcpListener),
}

impl Default for Options {
    fn default() -> Self {
        Options {
            backend: Choice::Auto,
            bind: Ipv6Addr::UNSPECIFIED.into(),
            listen: Listen::Port(0),
            loopback_only: false,
            extra_roots: Roots::default(),
            max_open_files: 128,
            state_home: None,
            direct_writes: true,
            hash_threads: 1,
            hash_batch_bytes: 16 << 20,
            disk_threads: 2,
            ring_entries: 1024,
        }
    }
}

/// Why a host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The kernel has no io_uring, or a sandbox hides it.
    #[error(
        "this kernel offers no io_uring: use Linux 5.11 or later; inside a container or sandbox, \
         allow the system calls io_uring_setup, io_uring_enter and io_uring_register in its \
         seccomp profile (with Docker or Podman: `--security-opt seccomp=unconfined`)"
    )]
    RingMissing,
    /// io_uring is there and lacks what the backend needs.
    #[error("the io_uring of Linux {release} is too old: use Linux {}.{} or later", least.0, least.1)]
    RingOld {
        /// The kernel's own words.
        release: String,
        /// The first version that will do.
        least: (u32, u32),
    },
    /// io_uring is there and not allowed.
    #[error(
        "io_uring is not allowed here: see `sysctl kernel.io_uring_disabled` (0 allows it to all; \
         with 1 join the group of `kernel.io_uring_group`); inside a container or sandbox, allow \
         the system calls io_uring_setup, io_uring_enter and io_uring_register in its seccomp \
         profile (with Docker or Podman: `--security-opt seccomp=unconfined`)"
    )]
    RingForbidden,
    /// Too little memory may be locked; kernels before 5.12 count rings as locked memory.
    #[error(
        "too little memory may be locked for the ring: raise `ulimit -l` (RLIMIT_MEMLOCK), or use \
         Linux 5.12 or later, where rings do not count"
    )]
    RingMemory,
    /// The ring cannot be made for another reason.
    #[error("the ring cannot be made")]
    Ring(#[source] io::Error),
    /// The ring was made, and the system refuses to go on with it.
    #[error("the ring has failed")]
    RingLost(#[source] io::Error),
    /// The address to listen at is not to be had.
    #[error("cannot listen at {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// An address that is not loopback, where only loopback is allowed.
    #[error("{addr} is not a loopback address, and nothing else is allowed")]
    NotLoopback {
        /// The address.
        addr: IpAddr,
    },
    /// Fewer files may be open than a host needs to begin with.
    #[error("only {limit} files may be open, and {least} are needed")]
    OpenFiles {
        /// How many may be open (`RLIMIT_NOFILE`).
        limit: u64,
        /// How many are needed.
        least: u64,
    },
    /// A thread or an eventfd cannot be made.
    #[error("the system refused a thread or a descriptor")]
    System(#[source] io::Error),
}

impl HostError {
    /// Whether the system forbids io_uring or lacks it: another backend works all the same.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(
            self,
            HostError::RingMissing
                | HostError::RingOld { .. }
                | HostError::RingForbidden
                | HostError::RingMemory
        )
    }

    /// Whether too few files may be open, in this process or in all.
    #[must_use]
    pub fn is_out_of_files(&self) -> bool {
        match self {
            HostError::OpenFiles { .. } => true,
            HostError::Ring(error) | HostError::System(error) => {
                matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
            }
            _ => false,
        }
    }

    /// What a refusal of `io_uring_setup` means.
    pub(crate) fn of_ring(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSYS) => HostError::RingMissing,
            Some(libc::EPERM | libc::EACCES) => HostError::RingForbidden,
            Some(libc::ENOMEM) => HostError::RingMemory,
            _ => HostError::Ring(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each way in which io_uring is refused names its remedy.
    #[test]
    fn refusals_name_their_remedy() {
        let remedies = [
            (libc::ENOSYS, "seccomp"),
            (libc::EPERM, "kernel.io_uring_disabled"),
            (libc::ENOMEM, "ulimit -l"),
        ];
        for (errno, remedy) in remedies {
            let error = HostError::of_ring(io::Error::from_raw_os_error(errno));
            assert!(error.to_string().contains(remedy), "{error}");
        }
    }
}
