//! The system's clocks, asked in one place: this program is the outermost edge of the host.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock, for progress and summaries. What the protocol does follows the host's own
/// clock alone.
#[expect(clippy::disallowed_methods, reason = "the outermost edge of the host")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970; 0 if the system's clock stands before.
#[expect(clippy::disallowed_methods, reason = "the outermost edge of the host")]
pub(crate) fn unix_seconds() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
