//! The system's numbers in the words of the engine, in one place.

use std::io;

use ripcurrent_proto::api::{IoError, IoErrorKind};

/// What an error of the system means.
pub(crate) fn io_error(error: &io::Error) -> IoError {
    match error.raw_os_error() {
        Some(code) => from_errno(code),
        None => IoError {
            kind: from_kind(error.kind()),
            code: 0,
        },
    }
}

/// What an `errno` means.
pub(crate) fn from_errno(code: i32) -> IoError {
    let kind = match code {
        libc::ENOENT | libc::ENXIO | libc::ENODEV => IoErrorKind::NotFound,
        libc::EACCES | libc::EPERM => IoErrorKind::Forbidden,
        libc::ENOSPC | libc::EDQUOT | libc::EFBIG => IoErrorKind::NoSpace,
        libc::EROFS => IoErrorKind::ReadOnly,
        // A symbolic link where none is followed is ELOOP.
        libc::ENOTDIR | libc::EISDIR | libc::EEXIST | libc::ELOOP => IoErrorKind::InTheWay,
        libc::EMFILE | libc::ENFILE => IoErrorKind::TooManyOpen,
        libc::ECONNREFUSED => IoErrorKind::Refused,
        libc::ECONNRESET | libc::ECONNABORTED | libc::EPIPE => IoErrorKind::Reset,
        libc::ENETUNREACH
        | libc::EHOSTUNREACH
        | libc::ENETDOWN
        | libc::EADDRNOTAVAIL
        | libc::EAFNOSUPPORT => IoErrorKind::Unreachable,
        libc::ETIMEDOUT => IoErrorKind::TimedOut,
        _ => IoErrorKind::Other,
    };
    IoError { kind, code }
}

/// What an error means that the standard library made without a number.
fn from_kind(kind: io::ErrorKind) -> IoErrorKind {
    match kind {
        io::ErrorKind::NotFound => IoErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => IoErrorKind::Forbidden,
        io::ErrorKind::UnexpectedEof => IoErrorKind::TooShort,
        io::ErrorKind::WriteZero => IoErrorKind::NoSpace,
        io::ErrorKind::TimedOut => IoErrorKind::TimedOut,
        _ => IoErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kinds that people are told apart come from the numbers the system really gives.
    #[test]
    fn numbers_become_words() {
        let missing = std::fs::File::open("/no/such/file").unwrap_err();
        let due = IoError {
            kind: IoErrorKind::NotFound,
            code: libc::ENOENT,
        };
        assert_eq!(io_error(&missing), due);
        let way = std::fs::File::open("/proc/version/inside").unwrap_err();
        assert_eq!(io_error(&way).kind, IoErrorKind::InTheWay);
        let unknown = from_errno(libc::ENOTTY);
        assert_eq!(
            (unknown.kind, unknown.code),
            (IoErrorKind::Other, libc::ENOTTY)
        );
    }
}
