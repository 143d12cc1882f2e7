//! Reading a torrent file from the disk.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use ripcurrent_proto::meta::{MAX_TORRENT_LEN, Torrent};

use crate::escape::Escaped;
use crate::exit::{Exit, Failure};

/// Reads the torrent file at `path`.
pub(crate) fn torrent(path: &Path) -> Result<Torrent, Failure> {
    Torrent::parse(bytes(path)?.into()).map_err(|error| {
        let what = format!("{} is not a torrent that can be used", Escaped::path(path));
        let failure = Failure::new(Exit::BadTorrent, what).because(error);
        failure.remedy("Get the file again; a web page saved under its name is a common cause.")
    })
}

/// The bytes of the torrent file at `path`: at most as many as a torrent may have, and one.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(path)?;
        file.take(MAX_TORRENT_LEN as u64 + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| {
        let what = format!("cannot read {}", Escaped::path(path));
        let remedy = remedy_for(path, error.kind());
        Failure::new(Exit::BadTorrent, what)
            .because(error)
            .remedy(remedy)
    })
}

/// What to do where no torrent file can be read at `path`: people paste links as well.
fn remedy_for(path: &Path, kind: ErrorKind) -> &'static str {
    let text = path.to_string_lossy();
    if text.starts_with("magnet:") {
        "Magnet links are not spoken yet: get the torrent file itself."
    } else if text.starts_with("http://") || text.starts_with("https://") {
        "Save the torrent file first, and give its path."
    } else if kind == ErrorKind::PermissionDenied {
        "Check who may read it: `ls -l` shows that."
    } else {
        "Check the path of the torrent file."
    }
}

/// As [`torrent`], but only what can be transferred: it needs a v1 half for now.
pub(crate) fn transferable(path: &Path) -> Result<Torrent, Failure> {
    let torrent = torrent(path)?;
    if torrent.hashes().v1.is_none() {
        let what = format!(
            "{} is a v2-only torrent (BEP 52), which cannot be transferred yet",
            Escaped::path(path)
        );
        return Err(Failure::new(Exit::BadTorrent, what)
            .remedy("Look for a v1 or hybrid torrent of the same data."));
    }
    Ok(torrent)
}

/// What programs know a torrent by: the v1 info-hash in hexadecimal, of a v2-only torrent the v2
/// info-hash.
pub(crate) fn id(torrent: &Torrent) -> String {
    let hashes = torrent.hashes();
    let v1 = hashes.v1.map(|hash| hex(&hash));
    v1.or_else(|| Some(hex(&hashes.v2?))).unwrap_or_default()
}

/// Displays bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was pasted instead of a path is recognized, and the next step told.
    #[test]
    fn links_are_not_taken_for_missing_files() {
        for (path, remedy) in [
            ("magnet:?xt=urn:btih:0", "Magnet links"),
            ("https://example.org/x.torrent", "Save the torrent file"),
            ("missing.torrent", "Check the path"),
        ] {
            let failure = torrent(Path::new(path)).unwrap_err();
            assert_eq!(failure.exit(), Exit::BadTorrent);
            assert!(failure.to_string().contains(remedy), "{failure}");
        }
    }
}
