//! Which kernel this is.

use rustix::system::uname;

use crate::options::HostError;

/// Checks that the kernel is not older than `least`.
///
/// # Errors
/// If it is: its rings lack something.
pub(crate) fn check(least: (u32, u32)) -> Result<(), HostError> {
    match is_older(&release(), least) {
        true => Err(too_old(least)),
        false => Ok(()),
    }
}

/// Whether the kernel is known to be of that version or later.
pub(crate) fn is_at_least(least: (u32, u32)) -> bool {
    version(&release()).is_some_and(|version| version >= least)
}

/// That the kernel lacks something that one from `least` on has.
pub(crate) fn too_old(least: (u32, u32)) -> HostError {
    let release = release();
    HostError::RingOld { release, least }
}

fn release() -> String {
    uname().release().to_string_lossy().into_owned()
}

/// Whether a release is known to be older; what cannot be read is given a chance.
fn is_older(release: &str, least: (u32, u32)) -> bool {
    version(release).is_some_and(|version| version < least)
}

/// The first two numbers of a kernel's release, such as those of `5.10.0-28-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|byte: char| !byte.is_ascii_digit());
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Releases are read as distributions write them; what cannot be read is given a chance.
    #[test]
    fn releases_are_compared_by_number() {
        for (release, suffices) in [
            ("5.10.0-28-amd64", false),
            ("5.4.0", false),
            ("4.18.0-513.el8.x86_64", false),
            ("5.11", true),
            ("5.15.153.1-microsoft-standard-WSL2", true),
            ("6.1-rc3", true),
            ("10.0.0", true),
            ("unreadable", true),
        ] {
            assert_eq!(!is_older(release, (5, 11)), suffices, "{release}");
        }
    }
}
