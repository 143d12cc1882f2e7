//! Bytes that are the same each time and never twice the same within themselves.

use std::env;
use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// What is exchanged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    /// One file of the size that `RIPCURRENT_INTEROP_MIB` says.
    File,
    /// One file of the size that `RIPCURRENT_MEMORY_MIB` says.
    Large,
    /// One file of the same size, unlike those of other numbers.
    Numbered(u8),
    /// A folder of files: empty, smaller than a piece, one that ends within a piece, deep ones.
    Folder,
}

impl Content {
    /// Makes it below `parent`; what a torrent is made of.
    pub(crate) fn make(self, parent: &Path) -> PathBuf {
        match self {
            Content::File => write(&parent.join("a file.bin"), size_mib() * MIB, 1),
            Content::Large => write(&parent.join("a large file.bin"), large_mib() * MIB, 2),
            Content::Numbered(number) => {
                let path = parent.join(format!("file {number}.bin"));
                write(&path, size_mib() * MIB, 100 + u64::from(number))
            }
            Content::Folder => {
                let root = parent.join("a folder");
                let files = [
                    ("empty first", 0),
                    ("one byte", 1),
                    ("small/a", 1000),
                    ("small/b", 16_384),
                    ("small/empty between", 0),
                    ("small/c", 16_385),
                    ("large", size_mib() * MIB / 2 + 12_345),
                    ("deep/er/and/deeper", 300_001),
                    ("zz empty last", 0),
                ];
                for (seed, (path, len)) in (3..).zip(files) {
                    write(&root.join(path), len, seed);
                }
                root
            }
        }
    }
}

/// Whether every file of `expected` is in `got` with the same bytes and nothing else is. Files
/// without bytes may be missing: Transmission does not make them.
pub(crate) fn same_bytes(expected: &Path, got: &Path) -> bool {
    if expected.is_file() {
        return same_file(expected, got);
    }
    let (wanted, found) = (files(expected), files(got));
    found.iter().all(|path| wanted.contains(path))
        && wanted
            .iter()
            .all(|path| same_file(&expected.join(path), &got.join(path)))
}

fn same_file(expected: &Path, got: &Path) -> bool {
    let len = |path| fs::metadata(path).map(|data| data.len());
    match (len(expected), len(got)) {
        (Ok(0), Err(_)) => true,
        (Ok(len), Ok(other)) => len == other && same_data(expected, got),
        _ => false,
    }
}

/// Compares up to the first difference: a file is looked at again and again while it grows.
fn same_data(expected: &Path, got: &Path) -> bool {
    let open = |path| File::open(path).expect("a file can be read");
    let (mut expected, mut got) = (open(expected), open(got));
    let (mut wanted, mut found) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let len = expected.read(&mut wanted).expect("a file can be read");
        if len == 0 {
            return true;
        }
        if got.read_exact(&mut found[..len]).is_err() || wanted[..len] != found[..len] {
            return false;
        }
    }
}

/// The files below a folder, relative to it.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(
                    path.strip_prefix(root)
                        .expect("it was found there")
                        .to_owned(),
                );
            }
        }
    }
    found
}

fn size_mib() -> u64 {
    number("RIPCURRENT_INTEROP_MIB").unwrap_or(16)
}

fn large_mib() -> u64 {
    number("RIPCURRENT_MEMORY_MIB").unwrap_or(256)
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn write(path: &Path, len: u64, seed: u64) -> PathBuf {
    fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folders can be made");
    let mut file = BufWriter::new(File::create(path).expect("a file can be made"));
    let mut state = seed;
    for at in (0..len).step_by(8) {
        let word = split_mix(&mut state).to_le_bytes();
        let end = (len - at).min(8) as usize;
        file.write_all(&word[..end]).expect("the disk has room");
    }
    file.flush().expect("the disk has room");
    path.to_owned()
}

/// The generator SplitMix64: short, and the same everywhere.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
