//! The handshake of the extension protocol (BEP 10, "handshake message"): the payload of an
//! extended message with id 0.
//!
//! A peer may send it again at any time; what it leaves out stays as it was.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::bencode::{self, Limits, Value};

/// The id of the handshake among extended messages.
pub const HANDSHAKE_ID: u8 = 0;

/// The most extensions kept of one handshake, and the longest name among them, in bytes.
const EXTENSIONS_MAX: usize = 64;
const NAME_MAX: usize = 64;

/// The longest client name kept, in bytes.
const CLIENT_MAX: usize = 128;

/// What a peer tells of itself. All of it is optional, and a key whose value is of a wrong type or
/// out of bounds counts as left out.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ExtendedHandshake {
    /// `m`: the extensions by name, each with the number under which the sender wants to receive
    /// it; 0 switches one off. At most 64.
    pub extensions: BTreeMap<Vec<u8>, u8>,
    /// `reqq`: requests that the sender lets wait; at least 1. Where it was never told, 250 is
    /// customary.
    pub request_queue: Option<u32>,
    /// `p`: the port where the sender listens; not 0.
    pub port: Option<u16>,
    /// `v`: the sender's program, as it calls itself: any text, at most 128 bytes. Print it by
    /// [`printable`](super::text::printable).
    pub client: Option<String>,
    /// `yourip`: the receiver's address, as the sender sees it.
    pub your_ip: Option<IpAddr>,
    /// `metadata_size`: the bytes of the info dictionary (BEP 9); not 0. To be bounded before
    /// anything is allocated for it.
    pub metadata_size: Option<u32>,
    /// `upload_only`: whether the sender wants nothing more (BEP 21).
    pub upload_only: Option<bool>,
}

/// The far end's fault: not a handshake at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHandshake {
    /// Not bencoding.
    #[error("an extended handshake that is not bencoding: {0}")]
    Bencode(#[from] bencode::Error),
    /// Something else than a dictionary.
    #[error("an extended handshake that is not a dictionary")]
    NotADictionary,
}

impl ExtendedHandshake {
    /// Reads the payload after the id. What follows the dictionary is ignored.
    ///
    /// # Errors
    /// If it does not begin with a dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, BadHandshake> {
        let tree = bencode::decode_prefix(payload, Limits::MESSAGE)?;
        let entries = tree.root().dict().ok_or(BadHandshake::NotADictionary)?;
        let mut told = ExtendedHandshake::default();
        for (key, value) in entries {
            match key {
                b"m" => keep(&mut told.extensions, extensions(value)),
                b"reqq" => keep(&mut told.request_queue, positive(value).map(Some)),
                b"p" => keep(&mut told.port, positive(value).map(Some)),
                b"v" => keep(&mut told.client, client(value).map(Some)),
                b"yourip" => keep(&mut told.your_ip, address(value).map(Some)),
                b"metadata_size" => keep(&mut told.metadata_size, positive(value).map(Some)),
                b"upload_only" => {
                    let flag = value.integer().map(|number| number != 0);
                    keep(&mut told.upload_only, flag.map(Some));
                }
                _ => {}
            }
        }
        Ok(told)
    }

    /// Appends the payload after the id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        bencode::write_dict(out, |dict| {
            dict.dict(b"m", |extensions| {
                for (name, id) in &self.extensions {
                    extensions.integer(name, i64::from(*id));
                }
            });
            if let Some(size) = self.metadata_size {
                dict.integer(b"metadata_size", size.into());
            }
            if let Some(port) = self.port {
                dict.integer(b"p", port.into());
            }
            if let Some(requests) = self.request_queue {
                dict.integer(b"reqq", requests.into());
            }
            if let Some(upload_only) = self.upload_only {
                dict.integer(b"upload_only", upload_only.into());
            }
            if let Some(client) = &self.client {
                dict.bytes(b"v", client.as_bytes());
            }
            match self.your_ip {
                Some(IpAddr::V4(ip)) => dict.bytes(b"yourip", &ip.octets()),
                Some(IpAddr::V6(ip)) => dict.bytes(b"yourip", &ip.octets()),
                None => {}
            }
        });
    }
}

fn keep<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn extensions(value: Value<'_, '_>) -> Option<BTreeMap<Vec<u8>, u8>> {
    let named = value.dict()?.filter_map(|(name, id)| {
        let id = u8::try_from(id.integer()?).ok()?;
        (name.len() <= NAME_MAX).then(|| (name.to_vec(), id))
    });
    Some(named.take(EXTENSIONS_MAX).collect())
}

fn positive<T: TryFrom<i64>>(value: Value<'_, '_>) -> Option<T> {
    let number = value.integer().filter(|number| *number > 0)?;
    T::try_from(number).ok()
}

fn client(value: Value<'_, '_>) -> Option<String> {
    let bytes = value.bytes()?;
    let bytes = &bytes[..bytes.len().min(CLIENT_MAX)];
    Some(String::from_utf8_lossy(bytes).into_owned())
}

fn address(value: Value<'_, '_>) -> Option<IpAddr> {
    let bytes = value.bytes()?;
    let v4 = || Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?));
    let v6 = || Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?));
    v4().or_else(v6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use core::net::{Ipv4Addr, Ipv6Addr};

    /// The example of BEP 10.
    #[test]
    fn the_example_of_the_standard() {
        let payload = b"d1:md11:LT_metadatai1e6:\xb5T_PEXi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e";
        let told = ExtendedHandshake::decode(payload).unwrap();
        assert_eq!(told.extensions[&b"LT_metadata"[..]], 1);
        assert_eq!(told.extensions[&b"\xb5T_PEX"[..]], 2);
        assert_eq!(told.port, Some(6881));
        assert_eq!(told.client.as_deref(), Some("µTorrent 1.2"));
        let mut back = Vec::new();
        told.encode(&mut back);
        assert_eq!(back, payload);
    }

    /// A wrong value is as good as none and spoils no other.
    #[test]
    fn a_wrong_type_costs_a_key_and_not_the_message() {
        let told = |payload: &[u8]| ExtendedHandshake::decode(payload).unwrap();
        let wrong = told(b"d1:mle13:metadata_sizei0e1:p4:68814:reqqi-1e11:upload_onlylee");
        assert_eq!(wrong, ExtendedHandshake::default());
        let wrong = told(b"d1:pi65536e4:reqqi4294967296e1:vi3e6:yourip5:abcdee");
        assert_eq!(wrong, ExtendedHandshake::default());
        let partly = told(b"d1:md1:ai256e1:bi-1e1:c1:x1:di7ee4:reqqi9e1:vdee");
        assert_eq!(partly.extensions, BTreeMap::from([(b"d".to_vec(), 7)]));
        assert_eq!(partly.request_queue, Some(9));
        // Keys out of order, and more behind the end.
        let unsorted = told(b"d4:reqqi5e1:pi7eetrailing");
        assert_eq!((unsorted.request_queue, unsorted.port), (Some(5), Some(7)));
    }

    /// Thousands of extensions and a name without end cost no more than a few.
    #[test]
    fn what_is_kept_is_bounded() {
        let mut payload = b"d1:md".to_vec();
        for at in 0..2_000 {
            payload.extend_from_slice(format!("5:x{at:04}i1e").as_bytes());
        }
        payload.extend_from_slice(format!("e1:v1000:{}e", "v".repeat(1_000)).as_bytes());
        let told = ExtendedHandshake::decode(&payload).unwrap();
        assert_eq!(told.extensions.len(), EXTENSIONS_MAX);
        assert_eq!(told.client.unwrap().len(), CLIENT_MAX);
    }

    #[test]
    fn addresses_of_both_families() {
        for ip in [
            IpAddr::from(Ipv4Addr::new(203, 0, 113, 9)),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ] {
            let handshake = ExtendedHandshake {
                your_ip: Some(ip),
                upload_only: Some(true),
                metadata_size: Some(16_385),
                ..ExtendedHandshake::default()
            };
            let mut payload = Vec::new();
            handshake.encode(&mut payload);
            assert_eq!(ExtendedHandshake::decode(&payload), Ok(handshake));
        }
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        let refused = |payload: &[u8]| ExtendedHandshake::decode(payload).unwrap_err();
        assert_eq!(refused(b"le"), BadHandshake::NotADictionary);
        assert!(matches!(refused(b""), BadHandshake::Bencode(_)));
        assert!(matches!(refused(b"d1:m"), BadHandshake::Bencode(_)));
    }
}
