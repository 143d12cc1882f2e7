//! A seed and a download of one file, known to each other by address.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Row, Running, run_to, write};

/// The folder both work in, and a torrent of the file in it.
pub(crate) struct Pair {
    pub(crate) row: Row,
    pub(crate) dir: tempfile::TempDir,
}

/// The bytes of the file.
pub(crate) const SIZE: usize = 1_000_000;

impl Pair {
    pub(crate) fn new() -> Self {
        let pair = Pair {
            row: Row::new(),
            dir: tempfile::tempdir().unwrap(),
        };
        write(&pair.path("seed/file"), SIZE);
        run_to(
            pair.dir.path(),
            0,
            &["create", "seed/file", "--piece-length", "16K"],
        );
        pair
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What makes `command`, the program, seed.
    pub(crate) fn seeding<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let bind = self.row.ip(2).to_string();
        command.current_dir(self.dir.path()).args([
            "seed",
            "file.torrent",
            "--data",
            "seed",
            "--bind",
            &bind,
            "--port",
            "0",
        ])
    }

    /// What makes `command`, the program, fetch from `seed`.
    pub(crate) fn fetching<'a>(&self, command: &'a mut Command, seed: &str) -> &'a mut Command {
        let bind = self.row.ip(3).to_string();
        command.current_dir(self.dir.path()).args([
            "download",
            "file.torrent",
            "-o",
            "got",
            "--bind",
            &bind,
            "--port",
            "0",
            "--peer",
            seed,
        ])
    }

    /// Starts a seed and waits until it serves; what it said when it started, and its address.
    pub(crate) fn seed<S: AsRef<OsStr>>(
        &self,
        mut command: Command,
        more: impl IntoIterator<Item = S>,
    ) -> (Running, String) {
        let mut seed = Running::start(self.seeding(&mut command).args(more));
        let addr = seed.expect_address("listening on").to_string();
        seed.expect("seeding until");
        (seed, addr)
    }

    /// Fetches from `seed` to the end; what was said.
    pub(crate) fn download<S: AsRef<OsStr>>(
        &self,
        mut command: Command,
        seed: &str,
        more: impl IntoIterator<Item = S>,
    ) -> String {
        let command = self.fetching(&mut command, seed).arg("--no-seed");
        let output = Running::start(command.args(more)).end();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    }

    /// Asserts that the file arrived byte for byte.
    pub(crate) fn arrived(&self) {
        let (one, other) = (self.path("seed/file"), self.path("got/file"));
        assert!(fs::read(one).unwrap() == fs::read(other).unwrap());
    }
}
