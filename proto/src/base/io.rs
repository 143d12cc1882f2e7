//! How the world refuses, in words that do not depend on the system.

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The far end closed it in good order.
    Eof,
    /// It failed, or was never made.
    Failed(IoError),
    /// It could not be protected, or is not any more; nothing that comes on it can be believed.
    Tls(TlsError),
}

/// Why a connection could not be protected (TLS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The host has no TLS.
    #[error("TLS is not spoken here")]
    Unsupported,
    /// No root certificate is known, so nobody can be believed.
    #[error(
        "this system has no root certificates: install ca-certificates, or name a file of them in \
         SSL_CERT_FILE"
    )]
    NoRoots,
    /// The name cannot stand in a certificate.
    #[error("no certificate can be valid for this name")]
    BadName,
    /// Nobody who is trusted vouches for the certificate.
    #[error("the certificate comes from an authority that is not trusted here")]
    UnknownIssuer,
    /// The certificate is somebody else's.
    #[error("the certificate is not valid for this name")]
    WrongName,
    /// The certificate was valid once.
    #[error("the certificate has expired")]
    Expired,
    /// The certificate will be valid one day.
    #[error("the certificate is not valid yet (is the clock right?)")]
    NotYetValid,
    /// The certificate is wrong in another way.
    #[error("the certificate cannot be used")]
    BadCertificate,
    /// The far end speaks no version or cipher that we do.
    #[error("it speaks no version of TLS in common with us")]
    NothingInCommon,
    /// What came is not TLS.
    #[error("it does not speak TLS")]
    NotTls,
    /// The far end broke the rules of TLS, or somebody between changed what it said.
    #[error("it broke the rules of TLS")]
    Violation,
    /// The stream ended before the far end said that it would (RFC 8446, section 6.1).
    #[error("the protected connection was cut off before its end")]
    CutOff,
    /// The far end gave up, with this alert (RFC 8446, section 6.2).
    #[error("it ended the protected connection (TLS alert {0})")]
    Alert(u8),
}

impl TlsError {
    /// All but alerts, by the number they are written as.
    const PLAIN: [TlsError; 12] = [
        TlsError::Unsupported,
        TlsError::NoRoots,
        TlsError::BadName,
        TlsError::UnknownIssuer,
        TlsError::WrongName,
        TlsError::Expired,
        TlsError::NotYetValid,
        TlsError::BadCertificate,
        TlsError::NothingInCommon,
        TlsError::NotTls,
        TlsError::Violation,
        TlsError::CutOff,
    ];
    /// What an alert is written as, less its number.
    const ALERTS: u64 = 1 << 8;

    /// The number it is written as where runs are digested and recorded.
    pub(crate) fn number(self) -> u64 {
        match self {
            TlsError::Alert(alert) => TlsError::ALERTS | u64::from(alert),
            plain => {
                let at = TlsError::PLAIN.iter().position(|one| *one == plain);
                at.expect("every other one is in the list") as u64
            }
        }
    }

    /// The one that is written as `number`.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        if let Some(alert) = number.checked_sub(TlsError::ALERTS) {
            return u8::try_from(alert).ok().map(TlsError::Alert);
        }
        TlsError::PLAIN.get(usize::try_from(number).ok()?).copied()
    }
}

/// The world's refusal: retry or tell, never anybody's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoError {
    /// What it means.
    pub kind: IoErrorKind,
    /// The system's number for it (`errno`), or 0.
    pub code: i32,
}

/// The kinds of [`IoError`] that somebody tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IoErrorKind {
    /// No such file, host or route.
    #[error("not found")]
    NotFound,
    /// The system forbids it.
    #[error("permission denied")]
    Forbidden,
    /// No room left on the device, or the quota is spent.
    #[error("no space left on device")]
    NoSpace,
    /// The device is mounted read-only.
    #[error("read-only file system")]
    ReadOnly,
    /// A file ends before the bytes that were to be read.
    #[error("file too short")]
    TooShort,
    /// A path leads through something that is not a folder, or ends at something not a file.
    #[error("something else is in the way")]
    InTheWay,
    /// Another process holds it; the number is its process id, or 0 where that is not known.
    #[error("in use by another process")]
    InUse,
    /// Too many open files.
    #[error("too many open files")]
    TooManyOpen,
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// The far end reset the connection.
    #[error("connection reset")]
    Reset,
    /// The network or the host cannot be reached.
    #[error("unreachable")]
    Unreachable,
    /// The system gave up waiting.
    #[error("timed out")]
    TimedOut,
    /// Anything else; the number tells.
    #[error("input/output error")]
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way in which protection fails has a number of its own, and comes back from it.
    #[test]
    fn the_numbers_of_tls_errors_come_back() {
        let all = TlsError::PLAIN
            .into_iter()
            .chain([0, 40, 255].map(TlsError::Alert));
        for error in all {
            assert_eq!(TlsError::from_number(error.number()), Some(error));
        }
        let past = [
            TlsError::PLAIN.len() as u64,
            TlsError::ALERTS - 1,
            2 * TlsError::ALERTS,
        ];
        for number in past {
            assert_eq!(TlsError::from_number(number), None);
        }
    }
}
