//! `download`: fetch what torrents name, then serve it.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use ripcurrent_proto::api::{Check, Mode};

use crate::args::{Allocation, DownloadArgs};
use crate::exit::{Failure, Outcome};
use crate::jobs::{self, Item, Use};
use crate::load;
use crate::ranges;
use crate::record::Recording;
use crate::say::Level;
use crate::session::{self, Ends, Job, Limits, Net, Seeding, UntilRatio, root_of};
use crate::stop::Stop;
use crate::teller::Teller;

/// Runs the command.
pub(crate) fn run(args: DownloadArgs, level: Level) -> Outcome {
    let loaded = jobs::load(&args.torrents, Use::Fetch)?;
    must_be_folder(&args.output)?;
    must_choose_of_one(&args, loaded.items.len())?;
    let recording = recording(&args, &loaded.items)?;
    let root = root_of(&args.output)?;
    let items = loaded.items.into_iter();
    let jobs = items.map(|item| job(&args, item, root.clone()));
    let jobs: Vec<Job> = jobs.collect::<Result<_, _>>()?;
    let net = Net::new(&args.net, args.down_limit, jobs.len())?;
    let stop = Stop::on_signals()?;
    stop.ends_process();
    let mut teller = Teller::new(&jobs, &net, level);
    let ended = session::run(
        jobs,
        net,
        recording,
        level,
        &stop,
        |at, happening, figures| {
            teller.hear(at, &happening, figures);
        },
    )?;
    loaded.conclusion.of(teller.conclude(ended))
}

/// The numbers and names of one torrent mean nothing in another.
fn must_choose_of_one(args: &DownloadArgs, torrents: usize) -> Result<(), Failure> {
    let option = match (&args.pieces, args.files.is_empty()) {
        (Some(_), _) => "--pieces",
        (None, false) => "--files",
        (None, true) => return Ok(()),
    };
    if args.torrents.len() == 1 && torrents == 1 {
        return Ok(());
    }
    let what = format!("{option} chooses of one torrent, and several are given");
    Err(Failure::usage(what).remedy("Run the command once for each torrent."))
}

fn job(args: &DownloadArgs, item: Item, root: Arc<str>) -> Result<Job, Failure> {
    let layout = item.outline.layout();
    let wanted = args.pieces.as_ref();
    let wanted = wanted.map(|pieces| ranges::pieces(layout, pieces));
    let wanted = wanted
        .transpose()
        .map_err(|error| Failure::usage("--pieces").because(error))?;
    let files = (!args.files.is_empty()).then(|| ranges::files(layout, &args.files));
    let files = files
        .transpose()
        .map_err(|error| Failure::usage("--files").because(error))?;
    let check = match args.check {
        true => Check::Full,
        false => Check::Existing,
    };
    Ok(Job {
        wanted,
        files,
        sequential: args.sequential,
        check,
        preallocate: args.allocation == Allocation::Full,
        overwrite: args.overwrite,
        limits: Limits {
            down: args.torrent_down_limit,
            up: args.net.torrent_up_limit,
        },
        peers: args.net.peers.as_slice().into(),
        ends: ends(args),
        ..Job::new(item, root, Mode::Download)
    })
}

fn ends(args: &DownloadArgs) -> Ends {
    let ratio = match (args.seed_ratio, args.seed_time) {
        (Some(ratio), _) => ratio,
        (None, Some(_)) => UntilRatio(None),
        (None, None) => UntilRatio::ONE,
    };
    let time = args.seed_time;
    Ends {
        seeding: (!args.no_seed).then_some(Seeding { ratio, time }),
        serves_again: args.seed_ratio.is_some() || args.seed_time.is_some(),
        stop_timeout: args.stop_timeout,
        disk_wait: args.disk_wait,
    }
}

fn recording(args: &DownloadArgs, items: &[Item]) -> Result<Option<Recording>, Failure> {
    let Some(path) = args.record.clone() else {
        return Ok(None);
    };
    let files = items.iter().filter_map(|item| item.outline.file());
    let files = files.map(load::bytes);
    Ok(Some(Recording {
        path,
        torrent_files: files.collect::<Result<_, _>>()?,
        addresses: args.record_addresses,
    }))
}

/// What is not there yet is made; what is there must be able to hold the data.
fn must_be_folder(output: &Path) -> Result<(), Failure> {
    match output.metadata() {
        Ok(metadata) if !metadata.is_dir() => {
            let error = ErrorKind::NotADirectory.into();
            Err(Failure::disk("download into", output, error)
                .remedy("Name a folder with --output; the data gets the torrent's own name in it."))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    /// A file in the place of the folder is named itself, not a path below it.
    #[test]
    fn a_file_cannot_be_downloaded_into() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let failure = must_be_folder(&file).unwrap_err();
        assert_eq!(failure.exit(), Exit::Disk);
        assert!(failure.to_string().contains("--output"), "{failure}");
        assert!(must_be_folder(dir.path()).is_ok());
        assert!(must_be_folder(&dir.path().join("new")).is_ok());
    }
}
