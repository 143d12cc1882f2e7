//! The counts as people and the next run read them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

/// By how many percent a count may exceed the baseline, for another compiler, C library or processor.
const TOLERANCE: u64 = 15;

/// What one event costs.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) peers: u32,
    pub(crate) instructions: u64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row {
            name,
            peers,
            instructions,
        } = self;
        write!(f, "{name}, {peers} peers: {instructions} instructions")
    }
}

/// What events cost once.
pub(crate) struct Baseline(BTreeMap<(String, u32), u64>);

impl Baseline {
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let text =
            fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let rows = text.lines().skip(1).map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [name, peers, instructions] = fields[..] else {
                return Err(format!("{}: not three fields: {line}", path.display()).into());
            };
            Ok(((name.into(), peers.parse()?), instructions.parse()?))
        });
        Ok(Baseline(rows.collect::<Result<_, Box<dyn Error>>>()?))
    }

    fn of(&self, row: &Row) -> Option<u64> {
        self.0.get(&(row.name.clone(), row.peers)).copied()
    }

    /// The rows that cost more than the baseline allows.
    pub(crate) fn worse<'a>(&self, rows: &'a [Row]) -> Vec<&'a Row> {
        let is_worse = |row: &&Row| {
            let before = self.of(row);
            before.is_some_and(|before| row.instructions * 100 > before * (100 + TOLERANCE))
        };
        rows.iter().filter(is_worse).collect()
    }
}

/// The rows as a file of values between tabs.
pub(crate) fn to_tsv(rows: &[Row]) -> String {
    let mut text = String::from("event\tpeers\tinstructions\n");
    for row in rows {
        let _ = writeln!(text, "{}\t{}\t{}", row.name, row.peers, row.instructions);
    }
    text
}

/// The rows beside those of the baseline.
pub(crate) fn shown(rows: &[Row], baseline: &Baseline) -> String {
    let mut text = format!(
        "{:38}{:>6}{:>14}{:>14}{:>8}\n",
        "instructions per event", "peers", "now", "baseline", ""
    );
    for row in rows {
        let peers = match row.peers {
            0 => String::from("-"),
            peers => peers.to_string(),
        };
        let _ = write!(text, "{:38}{peers:>6}{:>14}", row.name, row.instructions);
        match baseline.of(row) {
            Some(before) if before > 0 => {
                let change = (row.instructions as f64 / before as f64 - 1.0) * 100.0;
                let _ = writeln!(text, "{before:>14}{change:>+7.1}%");
            }
            _ => text.push_str("           new\n"),
        }
    }
    text
}
