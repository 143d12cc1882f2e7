//! Addresses that say nothing of whose they are.
//!
//! Every address that comes in is replaced by one of a private range, always by the same one, so
//! that the machine decides the same with them. What a machine can tell apart stays apart: the
//! family, and loopback addresses, which are everybody's and stay as they are.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::tap::fingerprint;
use crate::api::{Disk, Net, Output, Transmission};

/// The keys of an extended handshake (BEP 10) that hold an address, each with a prefix of its value.
const ADDRESS_KEYS: [(&[u8], usize); 4] = [
    (b"6:yourip4:", 4),
    (b"6:yourip16:", 16),
    (b"4:ipv44:", 4),
    (b"4:ipv616:", 16),
];

/// Who is called what.
#[derive(Debug, Default)]
pub(super) struct Blind {
    on: bool,
    /// Addresses that the machine knows by itself.
    open: BTreeSet<IpAddr>,
    hidden: BTreeMap<IpAddr, IpAddr>,
}

impl Blind {
    /// Hides all addresses but those of `open`, which stand in the torrent itself.
    pub(super) fn on(open: BTreeSet<IpAddr>) -> Self {
        Blind {
            on: true,
            open,
            hidden: BTreeMap::new(),
        }
    }

    /// What an address that came in is called.
    pub(super) fn hide(&mut self, ip: IpAddr) -> IpAddr {
        let ip = ip.to_canonical();
        let plain = ip.is_loopback() || ip.is_unspecified() || ip.is_multicast();
        if !self.on || plain || self.open.contains(&ip) {
            return ip;
        }
        if let Some(known) = self.hidden.get(&ip) {
            return *known;
        }
        let number = self.hidden.len() as u32 + 1;
        let hidden = match ip {
            IpAddr::V4(_) => {
                Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() | number).into()
            }
            IpAddr::V6(_) => {
                let range = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0).to_bits();
                Ipv6Addr::from_bits(range | u128::from(number)).into()
            }
        };
        self.hidden.insert(ip, hidden);
        hidden
    }

    pub(super) fn hide_addr(&mut self, addr: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.hide(addr.ip()), addr.port())
    }

    /// What an address that goes out is called: one that never came in keeps its name.
    fn known(&self, ip: IpAddr) -> IpAddr {
        self.hidden.get(&ip).copied().unwrap_or(ip)
    }

    /// Hides the addresses of an extended handshake that came in; its length stays.
    pub(super) fn hide_in(&mut self, message: &mut [u8]) {
        if self.on {
            replace(message, |ip| self.hide(ip));
        }
    }

    /// What stands for an output: the same as the machine's own output would give that knows the
    /// hidden addresses only, and no folder.
    pub(super) fn mark(&self, output: &Output) -> [u8; 8] {
        match output {
            Output::Net(Net::Connect { conn, to, tls }) => {
                fingerprint(&Output::Net(Net::Connect {
                    conn: *conn,
                    to: SocketAddr::new(self.known(to.ip()), to.port()),
                    tls: tls.clone(),
                }))
            }
            Output::Net(Net::Transmit { conn, transmission }) if self.on => {
                let mut head: Vec<u8> = transmission.head.clone();
                if !replace(&mut head, |ip| self.known(ip)) {
                    return fingerprint(output);
                }
                let parts = transmission.parts.clone();
                let transmission = Transmission { head, parts };
                fingerprint(&Output::Net(Net::Transmit {
                    conn: *conn,
                    transmission,
                }))
            }
            Output::Disk(Disk::Open {
                op,
                storage,
                info_hash,
                layout,
                access,
                ..
            }) => fingerprint(&Output::Disk(Disk::Open {
                op: *op,
                storage: *storage,
                root: "".into(),
                info_hash: *info_hash,
                layout: layout.clone(),
                access: *access,
            })),
            _ => fingerprint(output),
        }
    }
}

/// Replaces the addresses of extended handshakes; whether there was one.
fn replace(bytes: &mut [u8], mut with: impl FnMut(IpAddr) -> IpAddr) -> bool {
    let mut found = false;
    for (key, len) in ADDRESS_KEYS {
        let mut from = 0;
        while let Some(at) = bytes[from..]
            .windows(key.len())
            .position(|window| window == key)
        {
            let start = from + at + key.len();
            let Some(value) = bytes.get_mut(start..start + len) else {
                break;
            };
            let mut octets = [0; 16];
            octets[..len].copy_from_slice(value);
            let ip = match len {
                4 => IpAddr::from([octets[0], octets[1], octets[2], octets[3]]),
                _ => IpAddr::from(octets),
            };
            match (with(ip), len) {
                (IpAddr::V4(ip), 4) => value.copy_from_slice(&ip.octets()),
                (IpAddr::V6(ip), 16) => value.copy_from_slice(&ip.octets()),
                // An address of the other family in the form of this one.
                (IpAddr::V4(ip), _) => value.copy_from_slice(&ip.to_ipv6_mapped().octets()),
                (IpAddr::V6(_), _) => {}
            }
            found = true;
            from = start + len;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// One host is always called the same, two hosts never, and loopback is itself.
    #[test]
    fn a_host_keeps_its_hidden_address() {
        let tracker = ip("192.0.2.80");
        let mut blind = Blind::on([tracker].into());
        let one = blind.hide(ip("198.51.100.7"));
        let other = blind.hide(ip("2001:db8::7"));
        assert!(one.is_ipv4() && other.is_ipv6());
        assert_eq!(blind.hide(ip("::ffff:198.51.100.7")), one);
        assert_ne!(blind.hide(ip("198.51.100.8")), one);
        for open in [tracker, ip("127.0.0.3"), ip("::1")] {
            assert_eq!(blind.hide(open), open);
        }
        assert_eq!(
            Blind::default().hide(ip("198.51.100.7")),
            ip("198.51.100.7")
        );
    }

    /// Addresses inside of messages go too, wherever they stand, and nothing else changes.
    #[test]
    fn messages_hide_addresses_in_place() {
        let mut blind = Blind::on(BTreeSet::new());
        let mut message = b"d4:reqqi9e6:yourip4:\xc6\x33\x64\x07ed6:yourip4:\xc6".to_vec();
        blind.hide_in(&mut message);
        assert_eq!(
            message,
            b"d4:reqqi9e6:yourip4:\x0a\x00\x00\x01ed6:yourip4:\xc6"
        );
    }
}
