//! What a host does by itself, without the network: disk, hashes, names. Each takes its time and
//! always the same; what comes of it is decided when it is over.

use ripcurrent_proto::api::{self, Input, Output};
use ripcurrent_proto::base::id::OpId;
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::{Duration, Instant};
use sha1::{Digest, Sha1};

use crate::disk::Disk;
use crate::names::Names;

/// How long a hash takes.
const HASH_LATENCY: Duration = Duration::from_millis(1);
/// How long a name takes to be found.
const RESOLVE_LATENCY: Duration = Duration::from_millis(20);

/// Work of a host's own.
pub(crate) enum Job {
    Disk(api::Disk),
    Hash(OpId, Slab),
    Resolve(OpId, String),
}

impl Job {
    /// When it is over, if it begins now.
    pub(crate) fn end(&self, now: Instant, disk: &mut Disk) -> Instant {
        match self {
            Job::Disk(operation) => disk.end(now, operation),
            Job::Hash(..) => now + HASH_LATENCY,
            Job::Resolve(..) => now + RESOLVE_LATENCY,
        }
    }

    /// Does it; what the machine is to be told.
    pub(crate) fn perform(self, disk: &mut Disk, names: &Names) -> Input<'static> {
        match self {
            Job::Disk(operation) => Input::Disk(disk.perform(operation)),
            Job::Hash(op, slab) => {
                let known = disk.recognise(slab.as_slice());
                let digest = known.unwrap_or_else(|| Sha1::digest(slab.as_slice()).into());
                Input::Hashed { op, slab, digest }
            }
            Job::Resolve(op, host) => {
                let result = names.resolve(&host);
                Input::Resolved { op, result }
            }
        }
    }
}

/// What an output is about.
pub(crate) enum Errand {
    Net(api::Net),
    Job(Job),
}

impl From<Output> for Errand {
    fn from(output: Output) -> Self {
        match output {
            Output::Net(net) => Errand::Net(net),
            Output::Disk(operation) => Errand::Job(Job::Disk(operation)),
            Output::Hash { op, slab } => Errand::Job(Job::Hash(op, slab)),
            Output::Resolve { op, host } => Errand::Job(Job::Resolve(op, host)),
        }
    }
}
