//! What befalls disks.

use ripcurrent_proto::base::time::Duration;

use crate::disk::{Faults as DiskFaults, Odds};
use crate::run::world::World;
use crate::scenario::{DiskOperation, FaultKind, Share};

impl World<'_> {
    /// Flips bits on the disks that a fault befalls.
    pub(super) fn flip_bits(&mut self, number: usize, count: u64) {
        let plan = &self.faults.plans[number];
        for host in &plan.hosts {
            let peer = &mut self.peers[*host];
            let mut rng = plan.rng.fork(&peer.member.name);
            peer.files.flip(count, &mut rng);
            peer.lies = true;
        }
    }

    /// Makes a host's disk what the faults that are there make of it.
    pub(super) fn settle_disk(&mut self, host: usize) {
        let mut faults = DiskFaults::default();
        let mut lies = false;
        for plan in self.faults.of_host(host) {
            match &plan.fault.kind {
                FaultKind::DiskErrors(errors) => {
                    for operation in &errors.on {
                        let odds = match operation {
                            DiskOperation::Open => vec![&mut faults.open],
                            DiskOperation::Read => vec![&mut faults.read],
                            DiskOperation::Write => {
                                vec![&mut faults.write, &mut faults.finish, &mut faults.save]
                            }
                            DiskOperation::Sync => vec![&mut faults.sync],
                        };
                        for odds in odds {
                            *odds = odds_of(errors.share);
                        }
                    }
                }
                FaultKind::DiskCapacity(bytes) => faults.capacity = Some(bytes.0),
                FaultKind::DiskSlowMs(range) => {
                    faults.pace.latency = range.map(Duration::from_millis);
                }
                FaultKind::DiskHang => {
                    faults.pace.hangs_until = faults.pace.hangs_until.max(plan.ends());
                }
                FaultKind::MisdirectedReads(share) => {
                    faults.misdirected_read = odds_of(*share);
                    lies = true;
                }
                FaultKind::TornWrites(share) => faults.torn_write = odds_of(*share),
                _ => {}
            }
        }
        let peer = &mut self.peers[host];
        peer.lies |= lies;
        peer.files.set_faults(faults, peer.disk_rng());
    }
}

fn odds_of(share: Share) -> Odds {
    Odds::PerThousand(share.0)
}
