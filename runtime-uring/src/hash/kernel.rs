//! Which kernels this machine has.

use std::fmt;

use super::lanes::{Ladder, Rung};
use super::padding::Block;

#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, sha_ni};

/// A way to hash that this machine has. Which one it is changes how long hashing takes, and nothing
/// else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Kind);

// Only `Kernel::all` makes these, of what it has found, so that having one is leave to use it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512ShaNi,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    ShaNi,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Crates,
}

impl Kernel {
    /// The fastest for many messages.
    #[must_use]
    pub fn best() -> Self {
        Self::all().next().unwrap_or(Kernel(Kind::Crates))
    }

    /// All that this machine has, the fastest first; one at least.
    pub fn all() -> impl Iterator<Item = Self> {
        let kinds = [
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx512ShaNi, has_avx512() && has_sha_ni()),
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx512, has_avx512()),
            #[cfg(target_arch = "x86_64")]
            (Kind::ShaNi, has_sha_ni()),
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx2, std::is_x86_feature_detected!("avx2")),
            (Kind::Crates, true),
        ];
        let found = kinds.into_iter().filter(|(_, is_there)| *is_there);
        found.map(|(kind, _)| Kernel(kind))
    }

    /// Its name: the instructions it is made of.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512ShaNi => "avx512+sha-ni",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi => "sha-ni",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            Kind::Crates => "crates",
        }
    }

    /// How many messages [`sha1`](super::sha1) hashes side by side where there are as many: a batch
    /// should have a multiple of them.
    #[must_use]
    pub fn lanes(self) -> usize {
        self.sha1()[0].lanes
    }

    pub(super) fn sha1(self) -> Ladder<5> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512ShaNi => {
                const {
                    &[
                        rung(avx512::LANES, 9, avx512::sha1),
                        rung(4, 3, sha_ni::sha1::<4>),
                        rung(2, 2, sha_ni::sha1::<2>),
                        rung(1, 1, sha_ni::sha1::<1>),
                    ]
                }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => const { &[rung(avx512::LANES, 3, avx512::sha1), SHA1] },
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi => {
                const {
                    &[
                        rung(4, 3, sha_ni::sha1::<4>),
                        rung(2, 2, sha_ni::sha1::<2>),
                        rung(1, 1, sha_ni::sha1::<1>),
                    ]
                }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => const { &[rung(avx2::LANES, 3, avx2::sha1), SHA1] },
            Kind::Crates => const { &[SHA1] },
        }
    }

    pub(super) fn sha256(self) -> Ladder<8> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512ShaNi => {
                const {
                    &[
                        rung(avx512::LANES, 12, avx512::sha256),
                        rung(2, 2, sha_ni::sha256::<2>),
                        rung(1, 1, sha_ni::sha256::<1>),
                    ]
                }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => const { &[rung(avx512::LANES, 3, avx512::sha256), SHA256] },
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi => {
                const {
                    &[
                        rung(2, 2, sha_ni::sha256::<2>),
                        rung(1, 1, sha_ni::sha256::<1>),
                    ]
                }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => const { &[rung(avx2::LANES, 3, avx2::sha256), SHA256] },
            Kind::Crates => const { &[SHA256] },
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512bw")
}

#[cfg(target_arch = "x86_64")]
fn has_sha_ni() -> bool {
    std::is_x86_feature_detected!("sha")
        && std::is_x86_feature_detected!("ssse3")
        && std::is_x86_feature_detected!("sse4.1")
}

const fn rung<const W: usize>(
    lanes: usize,
    least: usize,
    compress: unsafe fn(&mut [[u32; W]], &[&[Block]]),
) -> Rung<W> {
    Rung {
        lanes,
        least,
        compress,
    }
}

/// What needs no instructions of its own; the crates use those they find.
const SHA1: Rung<5> = rung(1, 1, |states, blocks| {
    for (state, blocks) in states.iter_mut().zip(blocks) {
        sha1::block_api::compress(state, blocks);
    }
});

/// As [`SHA1`].
const SHA256: Rung<8> = rung(1, 1, |states, blocks| {
    for (state, blocks) in states.iter_mut().zip(blocks) {
        sha2::block_api::compress256(state, blocks);
    }
});
