//! Whose program a peer is, told from its peer id (BEP 20). A guess for people: nothing may depend
//! on it.

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

use super::text::Ascii;

/// The name and version of the client that made a peer id, safe to print; `Unknown` with the id
/// where it follows no convention.
#[must_use]
pub fn client_name(peer_id: &[u8; 20]) -> String {
    let conventions = [singular, azureus, mainline, shadow];
    match conventions.iter().find_map(|reads| reads(peer_id)) {
        Some(name) => name,
        None if *peer_id == [0; 20] => String::from("Unknown"),
        None => format!("Unknown [{}]", Ascii(peer_id)),
    }
}

/// Those with a convention of their own.
fn singular(id: &[u8; 20]) -> Option<String> {
    match id {
        [
            b'-',
            b'B',
            b'O',
            b'W',
            version @ ..,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
        ] => Some(format!("Bits on Wheels {}", Ascii(version))),
        [b'-', b'M', b'L', rest @ ..] => {
            let version = rest.split(|byte| *byte == b'-').next()?;
            Some(format!("MLdonkey {}", Ascii(version)))
        }
        [b'X', b'B', b'T', version @ ..] if version[..3].iter().all(u8::is_ascii_digit) => {
            Some(dotted(
                "XBT Client",
                version[..3].iter().map(|d| u32::from(d - b'0')),
            ))
        }
        [b'A', b'Z', b'2', b'5', b'0', b'0', b'B', b'T', ..] => Some(String::from("BitTyrant")),
        [b'O', b'P', build @ ..] if build[..4].iter().all(u8::is_ascii_digit) => {
            Some(String::from("Opera"))
        }
        [b'e', b'x', b'b', b'c', ..] => Some(String::from("BitComet")),
        _ => None,
    }
}

/// `-XXvvvv-`: two letters for the client, four digits for its version.
fn azureus(id: &[u8; 20]) -> Option<String> {
    let [b'-', a, b, version @ ..] = id else {
        return None;
    };
    // FlashGet alone leaves the second dash out.
    if version[4] != b'-' && [*a, *b] != *b"FG" {
        return None;
    }
    if !a.is_ascii_alphanumeric() || !(b.is_ascii_alphanumeric() || *b == b'~') {
        return None;
    }
    let digits = [0, 1, 2, 3].map(|at| digit(version[at]));
    let [Some(major), Some(minor), Some(patch), Some(last)] = digits else {
        return None;
    };
    let code = [*a, *b];
    let name = AZUREUS.iter().find(|(known, _)| **known == code);
    let unknown = format!("{}", Ascii(&code));
    let name = name.map_or(&unknown[..], |(_, name)| name);
    // The fourth digit is shown where it says something.
    let shown = if last == 0 { 3 } else { 4 };
    let numbers = [major, minor, patch, last].into_iter().take(shown);
    Some(dotted(name, numbers))
}

/// `M4-20-8-`: a letter and three numbers with dashes between them, eight bytes in all.
fn mainline(id: &[u8; 20]) -> Option<String> {
    // Aria2 numbers itself so too, with one number more.
    let (name, rest) = match id {
        [b'A', b'2', b'-', rest @ ..] => ("aria2", &rest[..]),
        [b'M', rest @ ..] => ("Mainline", &rest[..]),
        [b'Q', rest @ ..] => ("Queen Bee", &rest[..]),
        _ => return None,
    };
    let mut numbers = [0; 3];
    let mut fields = rest.split(|byte| *byte == b'-');
    for number in &mut numbers {
        let field = fields.next()?;
        if field.is_empty() || field.len() > 3 {
            return None;
        }
        *number = core::str::from_utf8(field).ok()?.parse().ok()?;
    }
    fields.next()?;
    Some(dotted(name, numbers.into_iter()))
}

/// `S58B--`: a letter and a version of three digits and more, padded with dashes.
fn shadow(id: &[u8; 20]) -> Option<String> {
    let name = match id[0] {
        b'A' => "ABC",
        b'O' => "Osprey Permaseed",
        b'Q' => "BTQueue",
        b'R' => "Tribler",
        b'S' => "Shadow",
        b'T' => "BitTornado",
        b'U' => "UPnP NAT Bit Torrent",
        _ => return None,
    };
    let version = [digit(id[1])?, digit(id[2])?, digit(id[3])?];
    (id[4..6] == *b"--").then(|| dotted(name, version.into_iter()))
}

/// The value of a version digit: decimal digits, then capital, then small letters.
fn digit(byte: u8) -> Option<u32> {
    let value = match byte {
        b'0'..=b'9' => byte - b'0',
        b'A'..=b'Z' => byte - b'A' + 10,
        b'a'..=b'z' => byte - b'a' + 36,
        _ => return None,
    };
    Some(value.into())
}

fn dotted(name: &str, numbers: impl Iterator<Item = u32>) -> String {
    let mut out = String::from(name);
    for (at, number) in numbers.enumerate() {
        let separator = if at == 0 { ' ' } else { '.' };
        write!(out, "{separator}{number}").expect("a string takes everything");
    }
    out
}

/// The codes of BEP 20 and of clients seen since, under the names that people know them by.
const AZUREUS: &[(&[u8; 2], &str)] = &[
    (b"AG", "Ares"),
    (b"A~", "Ares"),
    (b"AR", "Arctic"),
    (b"AV", "Avicora"),
    (b"AX", "BitPump"),
    (b"AZ", "Azureus"),
    (b"BB", "BitBuddy"),
    (b"BC", "BitComet"),
    (b"BF", "Bitflu"),
    (b"BG", "BTG"),
    (b"BI", "BiglyBT"),
    (b"BR", "BitRocket"),
    (b"BS", "BTSlave"),
    (b"BX", "Bittorrent X"),
    (b"CD", "Enhanced CTorrent"),
    (b"CT", "CTorrent"),
    (b"DE", "Deluge"),
    (b"DP", "Propagate Data Client"),
    (b"EB", "EBit"),
    (b"ES", "electric sheep"),
    (b"FD", "Free Download Manager"),
    (b"FG", "FlashGet"),
    (b"FT", "FoxTorrent"),
    (b"FW", "FrostWire"),
    (b"FX", "Freebox BitTorrent"),
    (b"GS", "GSTorrent"),
    (b"HL", "Halite"),
    (b"HN", "Hydranode"),
    (b"KG", "KGet"),
    (b"KT", "KTorrent"),
    (b"LH", "LH-ABC"),
    (b"LP", "Lphant"),
    (b"LT", "libtorrent"),
    (b"lt", "rTorrent"),
    (b"LW", "LimeWire"),
    (b"MO", "MonoTorrent"),
    (b"MP", "MooPolice"),
    (b"MR", "Miro"),
    (b"MT", "MoonlightTorrent"),
    (b"NX", "Net Transport"),
    (b"PD", "Pando"),
    (b"qB", "qBittorrent"),
    (b"QD", "QQDownload"),
    (b"QT", "Qt 4 Torrent example"),
    (b"RC", "Ripcurrent"),
    (b"RT", "Retriever"),
    (b"S~", "Shareaza alpha/beta"),
    (b"SB", "Swiftbit"),
    (b"SS", "SwarmScope"),
    (b"ST", "SymTorrent"),
    (b"st", "sharktorrent"),
    (b"SZ", "Shareaza"),
    (b"TN", "TorrentDotNET"),
    (b"TR", "Transmission"),
    (b"TS", "Torrentstorm"),
    (b"TT", "TuoTu"),
    (b"UL", "uLeecher!"),
    (b"UM", "uTorrent Mac"),
    (b"UT", "uTorrent"),
    (b"UW", "uTorrent Web"),
    (b"VG", "Vagaa"),
    (b"WD", "WebTorrent Desktop"),
    (b"WT", "BitLet"),
    (b"WW", "WebTorrent"),
    (b"WY", "FireTorrent"),
    (b"XL", "Xunlei"),
    (b"XT", "XanTorrent"),
    (b"XX", "Xtorrent"),
    (b"ZT", "ZipTorrent"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers stand in `tests/wire_vectors.rs`; these are conventions without one.
    #[test]
    fn conventions_of_single_clients() {
        let named = |id: &[u8; 20]| client_name(id);
        assert_eq!(named(b"-RC0100-abcdefghijkl"), "Ripcurrent 0.1.0");
        assert_eq!(named(b"M4-20-8-abcdefghijkl"), "Mainline 4.20.8");
        assert_eq!(named(b"-FG0180abcdefghijklm"), "FlashGet 0.1.8");
        assert_eq!(named(b"-ML2.7.2-abcdefghijk"), "MLdonkey 2.7.2");
        assert_eq!(named(b"XBT054d-abcdefghijkl"), "XBT Client 0.5.4");
        assert_eq!(named(b"AZ2500BTabcdefghijkl"), "BitTyrant");
    }

    /// An id is printed as it is only where that is safe.
    #[test]
    fn an_id_of_no_convention_is_shown_safely() {
        let id = b"-X\x1b[2J\r\nabc\xff--------";
        assert_eq!(client_name(id), "Unknown [-X.[2J..abc.--------]");
        assert_eq!(client_name(&[0xff; 20]), "Unknown [....................]");
    }
}
