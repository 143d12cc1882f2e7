//! Where peers reach us: the port that was asked for, or 6881, or the next free one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use crate::args::DEFAULT_PORT;
use crate::exit::Failure;

/// How many ports from [`DEFAULT_PORT`] on are tried before the system chooses one.
const TRIES: u16 = 100;

/// Listens at `port` of `bind`; by default at every address and at the first free port.
pub(crate) fn listen(bind: Option<IpAddr>, port: Option<u16>) -> Result<TcpListener, Failure> {
    let everywhere = [
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    ];
    let addresses = bind.as_ref().map_or(&everywhere[..], std::slice::from_ref);
    let ports = match port {
        Some(port) => vec![port],
        None => (DEFAULT_PORT..DEFAULT_PORT + TRIES).chain([0]).collect(),
    };
    let mut refused = None;
    for &port in &ports {
        for &ip in addresses {
            let addr = SocketAddr::new(ip, port);
            match TcpListener::bind(addr) {
                Ok(listener) => return Ok(listener),
                // Without IPv6 the other family remains.
                Err(error) if is_missing_family(&error) && bind.is_none() => {
                    refused = Some((addr, error));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && ports.len() > 1 => {
                    refused = Some((addr, error));
                    break;
                }
                Err(error) => return Err(Failure::bind(addr, error)),
            }
        }
    }
    let (addr, error) = refused.expect("every way out of the loop without a listener is a refusal");
    Err(Failure::bind(addr, error))
}

fn is_missing_family(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let missing = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL];
    error
        .raw_os_error()
        .is_some_and(|code| missing.contains(&Errno::from_raw_os_error(code)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    /// Without a port the next free one is taken; a port that was asked for is that one or none.
    #[test]
    fn the_next_free_port_is_taken_unless_one_is_asked_for() {
        let pid = std::process::id().to_be_bytes();
        let ip = IpAddr::from([127, 251, pid[2], pid[3]]);
        let first = listen(Some(ip), None).unwrap().local_addr().unwrap();
        assert_eq!(first, SocketAddr::new(ip, DEFAULT_PORT));
        let holder = listen(Some(ip), None).unwrap();
        let second = listen(Some(ip), None).unwrap().local_addr().unwrap();
        assert_eq!(second.port(), DEFAULT_PORT + 1);
        let taken = holder.local_addr().unwrap().port();
        assert_eq!(
            listen(Some(ip), Some(taken)).unwrap_err().exit(),
            Exit::Usage
        );
    }

    /// An address of another machine is the user's mistake.
    #[test]
    fn a_foreign_address_is_refused() {
        let foreign = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(
            listen(Some(foreign), Some(0)).unwrap_err().exit(),
            Exit::Usage
        );
    }
}
