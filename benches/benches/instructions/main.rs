//! Instructions per event, counted by callgrind, beside those of a baseline.
//!
//! Times differ from run to run and from machine to machine; counts of instructions hardly do, so a
//! change of a few percent shows in a single run. What they do not show is what memory costs.
//!
//! ```text
//! cargo bench -p ripcurrent-benches --bench instructions               # counts and compares
//! cargo bench -p ripcurrent-benches --bench instructions -- --save     # a new baseline
//! cargo bench -p ripcurrent-benches --bench instructions -- --keep DIR # for callgrind_annotate
//! cargo bench -p ripcurrent-benches --bench instructions -- HAVE       # those with this in their name
//! ```

mod callgrind;
mod cases;
mod table;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cases::Case;
use table::{Baseline, Row};

/// Counted by a committed baseline.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.tsv");

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(is_good) if is_good => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what is asked for; false if something costs more than it did.
fn run(mut args: impl Iterator<Item = String>) -> Result<bool, Box<dyn Error>> {
    let (mut play, mut save) = (false, false);
    let (mut keep, mut filter) = (None, String::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // Under callgrind; or that every case works, without counting.
            "--play" | "--test" => play = true,
            "--save" => save = true,
            "--keep" => keep = Some(PathBuf::from(args.next().ok_or("--keep needs a folder")?)),
            // What `cargo bench` adds.
            "--bench" => {}
            other if other.starts_with('-') => return Err(format!("unknown: {other}").into()),
            _ => filter = arg,
        }
    }
    let mut cases = cases::all();
    cases.retain(|case| case.name.contains(&filter));
    if play {
        cases
            .iter()
            .for_each(|case| case_ends((case.play)(case.peers)));
        return Ok(true);
    }
    let rows = count(&cases, &filter, keep.as_deref())?;
    let path = Path::new(BASELINE);
    if save && !filter.is_empty() {
        return Err("a baseline has all cases".into());
    }
    if save {
        std::fs::write(path, table::to_tsv(&rows))?;
    }
    let baseline = Baseline::read(path)?;
    print!("{}", table::shown(&rows, &baseline));
    let worse = baseline.worse(&rows);
    for row in &worse {
        eprintln!("more than it was: {row}");
    }
    Ok(worse.is_empty())
}

/// Has callgrind count the cases, which are those that `filter` lets through.
fn count(cases: &[Case], filter: &str, keep: Option<&Path>) -> Result<Vec<Row>, Box<dyn Error>> {
    let kept_nowhere = tempfile::tempdir()?;
    let counts = callgrind::run(keep.unwrap_or(kept_nowhere.path()), filter)?;
    if cases.len() != counts.len() {
        return Err(format!("{} counts for {} cases", counts.len(), cases.len()).into());
    }
    let rows = cases.iter().zip(counts).map(|(case, counted)| Row {
        name: case.name.into(),
        peers: case.peers,
        instructions: counted.instructions / counted.events.max(1),
    });
    Ok(rows.collect())
}

/// What callgrind counts: everything in here, and nothing else. Found by its name.
#[inline(never)]
fn counted<R>(work: impl FnOnce() -> R) -> R {
    let result = work();
    // A call at the very end would be a jump, after which callgrind counts on.
    std::hint::black_box(());
    result
}

/// Tells how many events a case had counted; callgrind writes down then what it counted. Found by
/// its name.
#[inline(never)]
fn case_ends(events: u64) {
    println!("{events}");
}
