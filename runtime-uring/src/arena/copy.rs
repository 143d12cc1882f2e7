//! Copies into memory that was not touched for a while, and is not to be for another.
//!
//! A piece is copied together block by block, and read once all of it is there, most often on another
//! processor. To store its bytes in the usual way would first read what was there before, and push
//! out of the caches what is needed sooner. Here they go past the caches: that takes half the time,
//! however many pieces there are. A compiler does not do so by itself, nor does the C library for
//! less than some hundred KiB at once.

/// Copies all of `bytes` to `to`, which are as many.
///
/// # Panics
/// If they are not.
pub(super) fn copy(to: &mut [u8], bytes: &[u8]) {
    assert_eq!(to.len(), bytes.len(), "as many as there is room for");
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= WORTHWHILE && std::arch::is_x86_feature_detected!("avx") {
        let before = to.as_ptr().align_offset(LINE).min(bytes.len());
        let (first, to) = to.split_at_mut(before);
        let (first_bytes, bytes) = bytes.split_at(before);
        first.copy_from_slice(first_bytes);
        let whole = bytes.len() / STEP * STEP;
        let (steps, last) = to.split_at_mut(whole);
        let (steps_bytes, last_bytes) = bytes.split_at(whole);
        // SAFETY: the processor has AVX; the lengths are equal, a multiple of the step and, after
        // less than a line, more than 0; the first byte to be written lies at the start of a line.
        unsafe { x86_64::copy_past_caches(steps, steps_bytes) };
        last.copy_from_slice(last_bytes);
        return;
    }
    to.copy_from_slice(bytes);
}

/// Fewer bytes are not worth a fence.
#[cfg(target_arch = "x86_64")]
const WORTHWHILE: usize = 1024;

/// The bytes of a line of the caches.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// How many bytes the loop copies at once: whole lines.
#[cfg(target_arch = "x86_64")]
const STEP: usize = 2 * LINE;

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::asm;

    use super::STEP;

    /// Copies `bytes` to `to`. Whoever is told of them afterwards, by whatever orders ordinary stores,
    /// sees them.
    ///
    /// # Safety
    /// The processor has AVX; both are as long, a multiple of [`STEP`] and not empty; `to` starts at
    /// the start of a line.
    #[target_feature(enable = "avx")]
    pub(super) unsafe fn copy_past_caches(to: &mut [u8], bytes: &[u8]) {
        let from = bytes.as_ptr_range();
        // SAFETY: all of `bytes` is read and all of `to` written, which is as long, in steps that
        // divide it and at addresses as aligned as the stores want. The fence orders these stores,
        // which nothing else does, before all that come after.
        unsafe {
            asm!(
                "2:",
                "vmovdqu {a}, [{from}]",
                "vmovdqu {b}, [{from} + 32]",
                "vmovdqu {c}, [{from} + 64]",
                "vmovdqu {d}, [{from} + 96]",
                "vmovntdq [{to}], {a}",
                "vmovntdq [{to} + 32], {b}",
                "vmovntdq [{to} + 64], {c}",
                "vmovntdq [{to} + 96], {d}",
                "add {from}, {step}",
                "add {to}, {step}",
                "cmp {from}, {end}",
                "jne 2b",
                "sfence",
                from = inout(reg) from.start => _,
                to = inout(reg) to.as_mut_ptr() => _,
                end = in(reg) from.end,
                step = const STEP,
                a = out(ymm_reg) _,
                b = out(ymm_reg) _,
                c = out(ymm_reg) _,
                d = out(ymm_reg) _,
                options(nostack),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes arrive, and nothing beside them changes, whatever the length and the alignment.
    #[test]
    fn everything_is_copied_and_nothing_else() {
        let from: Vec<u8> = (0..9000_u32)
            .map(|number| (number % 251) as u8 + 1)
            .collect();
        for len in (0..1400).chain([4095, 4096, 4097, 8192]) {
            for (shift, other) in [(0, 0), (1, 0), (0, 13), (31, 64), (63, 5)] {
                let mut to = vec![0; 9000];
                copy(&mut to[shift..shift + len], &from[other..other + len]);
                assert!(
                    to[shift..shift + len] == from[other..other + len],
                    "{len} {shift}"
                );
                let mut beside = to[..shift].iter().chain(&to[shift + len..]);
                assert!(beside.all(|byte| *byte == 0), "{len} {shift}");
            }
        }
    }
}
