//! What torrent files hold: `cargo run -p ripcurrent-proto --example inspect -- FILE.torrent...`
//!
//! A [`Torrent`] that was parsed is right: its hashes are of the bytes that were read, its pieces
//! fit its files, and no path leads out of its folder. So there is nothing left to check here.

use std::error::Error;
use std::fmt::{self, Display};
use std::{env, fs};

use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::FileKind;

fn main() -> Result<(), Box<dyn Error>> {
    for path in env::args().skip(1) {
        let torrent = Torrent::parse(fs::read(path)?.into())?;
        print!("{}", Inspected(&torrent));
    }
    Ok(())
}

/// A torrent, for people.
pub(crate) struct Inspected<'a>(pub(crate) &'a Torrent);

impl Display for Inspected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inspected(torrent) = self;
        let (hashes, layout) = (torrent.hashes(), torrent.layout());
        let (pieces, piece_length) = (layout.pieces(), layout.piece_length());
        writeln!(f, "name       {}", torrent.name())?;
        if let Some(hash) = hashes.v1 {
            writeln!(f, "SHA-1      {}", Hex(&hash))?;
        }
        if let Some(hash) = hashes.v2 {
            writeln!(f, "SHA-256    {}", Hex(&hash))?;
        }
        writeln!(f, "bytes      {}", layout.total_len())?;
        writeln!(f, "pieces     {pieces} of {piece_length} bytes")?;
        for (tier, urls) in torrent.trackers().iter().enumerate() {
            writeln!(f, "tracker {tier}  {}", urls.join(" "))?;
        }
        if let Some(comment) = torrent.comment() {
            // The author's words: escaped, because a terminal might obey them.
            writeln!(f, "comment    {comment:?}")?;
        }
        for file in layout.files() {
            let path = file.path_string();
            match &file.kind {
                FileKind::Regular { .. } => writeln!(f, "{:>14}  {path}", file.len)?,
                FileKind::Symlink { target } => writeln!(f, "{path} -> {}", target.join("/"))?,
                FileKind::Pad => {}
            }
        }
        Ok(())
    }
}

struct Hex<'a>(&'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
