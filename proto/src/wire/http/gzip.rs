//! The gzip format around raw deflate (RFC 1952).

use alloc::vec::Vec;

use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit};

use super::BadHttp;

const EXTRA: u8 = 0x04;
const NAME: u8 = 0x08;
const COMMENT: u8 = 0x10;
const HEADER_CRC: u8 = 0x02;
const RESERVED: u8 = 0xe0;

/// The bytes of checksum and length at the end.
const TRAILER: usize = 8;

/// Unpacks one gzip member that takes all of `packed`, to at most `limit` bytes.
pub(super) fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, BadHttp> {
    let deflated = after_header(packed).ok_or(BadHttp::Gzip)?;
    let (deflated, trailer) = deflated
        .len()
        .checked_sub(TRAILER)
        .map(|end| deflated.split_at(end))
        .ok_or(BadHttp::Gzip)?;
    let bytes =
        decompress_to_vec_with_limit(deflated, limit).map_err(|error| match error.status {
            TINFLStatus::HasMoreOutput => BadHttp::BodyTooLong { limit },
            _ => BadHttp::Gzip,
        })?;
    let (sum, len) = trailer.split_at(TRAILER / 2);
    let whole = sum == crc32(&bytes).to_le_bytes() && len == (bytes.len() as u32).to_le_bytes();
    if whole { Ok(bytes) } else { Err(BadHttp::Gzip) }
}

/// What follows the header of a gzip member.
fn after_header(packed: &[u8]) -> Option<&[u8]> {
    let (header, mut rest) = packed.split_first_chunk::<10>()?;
    let [0x1f, 0x8b, 8, flags, ..] = *header else {
        return None;
    };
    if flags & RESERVED != 0 {
        return None;
    }
    if flags & EXTRA != 0 {
        let (len, extra) = rest.split_first_chunk()?;
        rest = extra.get(u16::from_le_bytes(*len).into()..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HEADER_CRC != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

/// CRC-32 as of RFC 1952, section 8.
fn crc32(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        CRC_TABLE[usize::from(sum as u8 ^ byte)] ^ (sum >> 8)
    });
    !sum
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < table.len() {
        let mut sum = at as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = (sum >> 1) ^ (0xedb8_8320 * (sum & 1));
            bit += 1;
        }
        table[at] = sum;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    use miniz_oxide::deflate::compress_to_vec;

    /// A member with every optional field of the header.
    fn packed(bytes: &[u8], flags: u8) -> Vec<u8> {
        let mut out = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 255];
        if flags & EXTRA != 0 {
            out.extend_from_slice(b"\x03\0abc");
        }
        if flags & NAME != 0 {
            out.extend_from_slice(b"name\0");
        }
        if flags & COMMENT != 0 {
            out.extend_from_slice(b"comment\0");
        }
        if flags & HEADER_CRC != 0 {
            out.extend_from_slice(b"\x12\x34");
        }
        out.extend(compress_to_vec(bytes, 6));
        out.extend(crc32(bytes).to_le_bytes());
        out.extend((bytes.len() as u32).to_le_bytes());
        out
    }

    /// The check value that every CRC-32 is published with.
    #[test]
    fn the_checksum_is_crc32() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn every_optional_field_of_the_header_is_skipped() {
        for flags in 0..0x20 {
            let unpacked = unpack(&packed(b"hello, hello, hello", flags), 100);
            assert_eq!(unpacked.unwrap(), b"hello, hello, hello", "{flags:#x}");
        }
        assert_eq!(unpack(&packed(b"", 0), 0), Ok(vec![]));
    }

    /// Damage anywhere but in a field that says nothing is noticed, and nothing panics.
    #[test]
    fn damage_is_noticed() {
        let right = packed(b"hello, hello, hello", 0);
        for at in 0..right.len() {
            assert_eq!(unpack(&right[..at], 100), Err(BadHttp::Gzip), "cut at {at}");
            let mut wrong = right.clone();
            wrong[at] ^= 0x81;
            let ignored = (4..10).contains(&at);
            assert_eq!(unpack(&wrong, 100).is_ok(), ignored, "changed at {at}");
        }
    }

    /// A few kilobytes that unpack to a gigabyte stop at the limit.
    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = packed(&vec![0; 200_000], 0);
        assert!(bomb.len() < 1_000);
        let limit = 100_000;
        assert_eq!(unpack(&bomb, limit), Err(BadHttp::BodyTooLong { limit }));
        assert_eq!(unpack(&bomb, 200_000).unwrap().len(), 200_000);
    }
}
