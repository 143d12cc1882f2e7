//! What every host does for a [`Disk::Digest`](crate::api::Disk::Digest), but for the reads.

use alloc::vec::Vec;

use sha1::{Digest, Sha1};

use crate::meta::layout::{FileSpan, Spans};

/// SHA-1 of each `every` bytes of the spans, the last ones being fewer. They are read by `read`, in
/// their order, as many at once as `memory` holds: it is given where to and where from.
///
/// # Errors
/// That of the first read that fails.
///
/// # Panics
/// If `memory` is empty, or `every` is 0.
pub fn digest<E>(
    memory: &mut [u8],
    spans: &[FileSpan],
    every: u32,
    mut read: impl FnMut(&mut [u8], &[FileSpan]) -> Result<(), E>,
) -> Result<Vec<[u8; 20]>, E> {
    assert!(!memory.is_empty() && every > 0, "some bytes at a time");
    let mut meter = Meter::new(every as usize);
    let mut step = Spans::new();
    let mut filled = 0;
    for span in spans {
        let mut rest = *span;
        while rest.len > 0 {
            let len = rest
                .len
                .min(u32::try_from(memory.len() - filled).unwrap_or(u32::MAX));
            step.push(FileSpan { len, ..rest });
            (rest.offset, rest.len) = (rest.offset + u64::from(len), rest.len - len);
            filled += len as usize;
            if filled == memory.len() {
                read(memory, &step)?;
                meter.add(memory);
                step.clear();
                filled = 0;
            }
        }
    }
    if filled > 0 {
        read(&mut memory[..filled], &step)?;
        meter.add(&memory[..filled]);
    }
    Ok(meter.end())
}

/// Digests of equal lengths of a stream.
struct Meter {
    every: usize,
    /// What the digest under way still takes.
    left: usize,
    under_way: Sha1,
    digests: Vec<[u8; 20]>,
}

impl Meter {
    fn new(every: usize) -> Self {
        Meter {
            every,
            left: every,
            under_way: Sha1::new(),
            digests: Vec::new(),
        }
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(self.left.min(bytes.len()));
            self.under_way.update(now);
            self.left -= now.len();
            bytes = later;
            if self.left == 0 {
                self.digests.push(self.under_way.finalize_reset().into());
                self.left = self.every;
            }
        }
    }

    fn end(mut self) -> Vec<[u8; 20]> {
        if self.left < self.every {
            self.digests.push(self.under_way.finalize().into());
        }
        self.digests
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::layout::FileIndex;

    /// However little memory there is, and wherever files end, the digests are those of the bytes.
    #[test]
    fn steps_do_not_show() {
        let files: [Vec<u8>; 3] = [300, 1, 700].map(|len: u32| {
            let byte = |at: u32| (at * at + len) as u8;
            (0..len).map(byte).collect()
        });
        let span = |file: Option<u32>, offset, len| FileSpan {
            file: file.map(FileIndex),
            offset,
            len,
            aside: false,
        };
        let spans = [
            span(Some(0), 100, 200),
            span(Some(1), 0, 1),
            span(None, 0, 50),
            span(Some(2), 0, 600),
        ];
        let all = [&files[0][100..], &files[1], &[0; 50], &files[2][..600]].concat();
        for every in [1, 7, 64, 200, 850, 851, 852, u32::MAX] {
            let right = all.chunks(every as usize);
            let right: Vec<[u8; 20]> = right.map(|bytes| Sha1::digest(bytes).into()).collect();
            for memory in [1, 2, 99, 200, 851, 1000] {
                let mut memory = alloc::vec![0xaa; memory];
                let told = digest(&mut memory, &spans, every, |into, spans| {
                    let mut at = 0;
                    for span in spans {
                        let (to, from) = (at + span.len as usize, span.offset as usize);
                        match span.file {
                            Some(file) => {
                                let bytes = &files[file.at()][from..][..span.len as usize];
                                into[at..to].copy_from_slice(bytes);
                            }
                            None => into[at..to].fill(0),
                        }
                        at = to;
                    }
                    assert_eq!(at, into.len());
                    Ok::<_, ()>(())
                });
                assert_eq!(told, Ok(right.clone()), "{every} {}", memory.len());
            }
        }
    }

    /// What cannot be read has no digest.
    #[test]
    fn a_refusal_ends_it() {
        let span = FileSpan {
            file: Some(FileIndex(0)),
            offset: 0,
            len: 10,
            aside: false,
        };
        let mut reads = 0;
        let told = digest(&mut [0; 4], &[span], 10, |_, spans| {
            reads += 1;
            if spans[0].offset > 0 {
                Err("refused")
            } else {
                Ok(())
            }
        });
        assert_eq!((told, reads), (Err("refused"), 2));
    }
}
