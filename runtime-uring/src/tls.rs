//! TLS, as far as it is a matter of bytes: a [`Session`] is told what was received and says what is
//! to be sent. It knows no socket, so every backend protects connections the same way.
//!
//! Whom to believe is decided once, when somebody is first dialled that way: the system's root
//! certificates (or those of the file `SSL_CERT_FILE` and the folders `SSL_CERT_DIR`), and
//! [`Roots`] that the user names. Nothing switches verification off. Versions 1.2 and 1.3 are
//! spoken; nothing is kept from one connection for the next, so nobody can be recognised by it.
//!
//! Memory of one connection, in KiB: 16 received and not looked at, 32 unsealed and not handed over,
//! 64 of a handshake that is not whole (rustls' bound), 32 sealed and not sent: 144 at most. Only
//! connections to trackers are protected, one for each torrent.

mod error;
mod roots;
mod session;
#[cfg(test)]
mod tests;

pub use roots::{BadRoots, Roots};

pub(crate) use roots::{Believed, Trust};
pub(crate) use session::{End, Session};
