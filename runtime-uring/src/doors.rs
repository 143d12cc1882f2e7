//! Who may come in and who may be visited, whatever carries the bytes.

use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::options::Options;

/// How long a listener rests after the system had no descriptor for a connection, or refused it for
/// another reason that is not gone at once.
pub(crate) const REST: Duration = Duration::from_millis(100);

/// See the documentation of the module.
pub(crate) struct Doors {
    bind: IpAddr,
    loopback_only: bool,
}

impl Doors {
    pub(crate) fn new(options: &Options) -> Self {
        Doors {
            bind: options.bind,
            loopback_only: options.loopback_only,
        }
    }

    /// Whether anything may be said to or heard from `addr`.
    pub(crate) fn allows(&self, addr: IpAddr) -> bool {
        !self.loopback_only || addr.is_loopback()
    }

    /// The local address for a connection to `to`, where one is asked for.
    ///
    /// # Errors
    /// If `to` may not be visited, or not from here.
    pub(crate) fn local_for(&self, to: IpAddr) -> io::Result<Option<IpAddr>> {
        if !self.allows(to) {
            return Err(io::Error::from_raw_os_error(libc::EACCES));
        }
        if self.bind.is_unspecified() {
            // `0.0.0.0` asks for IPv4 alone, `::` for both.
            let fits = self.bind.is_ipv6() || to.is_ipv4();
            return if fits {
                Ok(None)
            } else {
                Err(no_such_family())
            };
        }
        if self.bind.is_ipv4() == to.is_ipv4() {
            Ok(Some(self.bind))
        } else {
            Err(no_such_family())
        }
    }
}

/// Lets the port of a bound socket be chosen when it connects, so that one port can serve many
/// connections to different places: without this the ports of an address run out.
pub(crate) fn choose_port_late(fd: RawFd) {
    let on: libc::c_int = 1;
    let len = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `on`, which lives through the call.
    // Where the option is unknown the port is chosen early, and that works too.
    unsafe {
        libc::setsockopt(
            fd,
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            len,
        );
    }
}

fn no_such_family() -> io::Error {
    io::Error::from_raw_os_error(libc::EAFNOSUPPORT)
}
