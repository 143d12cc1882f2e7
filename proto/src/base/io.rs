//! How the world refuses, in words that do not depend on the system.

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The far end closed it in good order.
    Eof,
    /// It failed, or was never made.
    Failed(IoError),
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
