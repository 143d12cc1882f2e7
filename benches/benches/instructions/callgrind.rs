//! This program, run once more under callgrind.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What was counted of one case.
pub(crate) struct Counted {
    pub(crate) instructions: u64,
    pub(crate) events: u64,
}

/// Plays the cases that `filter` lets through under callgrind, which writes its files into `folder`.
pub(crate) fn run(folder: &Path, filter: &str) -> Result<Vec<Counted>, Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg("--quiet")
        .arg("--toggle-collect=instructions::counted*")
        .arg("--dump-before=instructions::case_ends*")
        .arg(format!("--callgrind-out-file={}/case", folder.display()))
        .arg(std::env::current_exe()?)
        .args(["--play", filter])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        return Err(format!("valgrind: {}", output.status).into());
    }
    let events = String::from_utf8(output.stdout)?;
    let events = events.lines().zip(1..);
    events
        .map(|(events, number)| {
            // The files are numbered in the order of the cases.
            let path = folder.join(format!("case.{number}"));
            Ok(Counted {
                instructions: total(&path)?,
                events: events.parse()?,
            })
        })
        .collect()
}

/// The sum of a file of callgrind.
fn total(path: &Path) -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals:"));
    let total = total.ok_or_else(|| format!("{}: no totals", path.display()))?;
    Ok(total.trim().parse()?)
}
