//! Names to addresses, by the system's resolver, which blocks and so has threads of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use ripcurrent_proto::api::{IoError, IoErrorKind};

use crate::errno;

/// The addresses of `host` in the resolver's order, at least one. With `loopback_only` the
/// resolver is not asked, because it might ask the network: `localhost` is known (RFC 6761,
/// section 6.3), every other name is not found.
pub(crate) fn resolve(host: &str, loopback_only: bool) -> Result<Vec<IpAddr>, IoError> {
    if loopback_only {
        return local_name(host);
    }
    let addresses = look_up(host).map_err(|error| IoError {
        // A failed lookup has no number of the system: the name is not known.
        kind: match error.raw_os_error() {
            Some(code) => errno::from_errno(code).kind,
            None => IoErrorKind::NotFound,
        },
        code: error.raw_os_error().unwrap_or(0),
    })?;
    if addresses.is_empty() {
        return Err(NOT_FOUND);
    }
    Ok(addresses)
}

const NOT_FOUND: IoError = IoError {
    kind: IoErrorKind::NotFound,
    code: 0,
};

#[expect(
    clippy::disallowed_methods,
    reason = "this is the backend's `Resolve`, on a thread that may block"
)]
fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for addr in (host, 0).to_socket_addrs()? {
        if !addresses.contains(&addr.ip()) {
            addresses.push(addr.ip());
        }
    }
    Ok(addresses)
}

fn local_name(host: &str) -> Result<Vec<IpAddr>, IoError> {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
    } else {
        Err(NOT_FOUND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bound to loopback, no name can make the resolver ask the network.
    #[test]
    fn loopback_knows_only_itself() {
        for name in ["localhost", "LocalHost.", "tracker.localhost"] {
            let addresses = resolve(name, true).unwrap();
            assert!(addresses.iter().all(IpAddr::is_loopback), "{name}");
        }
        for name in ["example.org", "notlocalhost", ""] {
            assert_eq!(resolve(name, true), Err(NOT_FOUND), "{name}");
        }
    }
}
