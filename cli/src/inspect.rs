//! `inspect`: what a torrent file holds, for people or programs.

mod report;

use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind};

use crate::args::InspectArgs;
use crate::exit::{Exit, Outcome};
use crate::json;
use crate::load::{self, hex};
use crate::say;

use report::{File, Report, Tracker};

/// Runs the command.
pub(crate) fn run(args: &InspectArgs) -> Outcome {
    let report = report(&load::torrent(&args.torrent)?);
    if args.json {
        say::data(format_args!("{}\n", json::text(&report)?))?;
    } else {
        say::data(report)?;
    }
    Ok(Exit::Done)
}

fn report(torrent: &Torrent) -> Report {
    let layout = torrent.layout();
    let hashes = torrent.hashes();
    let indexed = (0..).map(FileIndex).zip(layout.files());
    Report {
        info_hash_v1: hashes.v1.map(|hash| hex(&hash)),
        info_hash_v2: hashes.v2.map(|hash| hex(&hash)),
        name: torrent.name().into(),
        piece_length: layout.piece_length(),
        num_pieces: layout.pieces(),
        total_size: layout.total_len(),
        files: indexed
            .map(|(index, entry)| file(torrent, index, entry))
            .collect(),
        trackers: trackers(torrent),
        url_seeds: torrent.url_seeds().to_vec(),
        http_seeds: torrent.http_seeds().to_vec(),
        dht_nodes: torrent
            .dht_nodes()
            .iter()
            .map(|node| (node.host.clone(), node.port))
            .collect(),
        private: torrent.is_private(),
        comment: torrent.comment().unwrap_or_default().into(),
        created_by: torrent.created_by().unwrap_or_default().into(),
        creation_date: torrent.creation_date().unwrap_or_default(),
        source: torrent.source().map(String::from),
        similar: torrent.similar().iter().map(|hash| hex(hash)).collect(),
        collections: torrent.collections().to_vec(),
    }
}

fn file(torrent: &Torrent, index: FileIndex, entry: &FileEntry) -> File {
    let facts = torrent.facts(index);
    let symlink = match &entry.kind {
        FileKind::Symlink { target } => Some(format!("{}/{}", torrent.name(), target.join("/"))),
        FileKind::Regular { .. } | FileKind::Pad => None,
    };
    let attributes = [
        ('p', entry.is_pad()),
        ('x', facts.executable),
        ('h', facts.hidden),
        ('l', symlink.is_some()),
    ];
    File {
        path: entry.path_string(),
        size: entry.len,
        offset: entry.offset,
        attr: attributes
            .into_iter()
            .filter(|(_, set)| *set)
            .map(|(letter, _)| letter)
            .collect(),
        symlink,
        sha1: facts.sha1.map(|hash| hex(&hash)),
        pieces_root: facts.pieces_root.map(|root| hex(&root)),
    }
}

fn trackers(torrent: &Torrent) -> Vec<Tracker> {
    let tiers = torrent.trackers().iter().enumerate();
    let all = tiers.flat_map(|(tier, urls)| urls.iter().map(move |url| (tier, url)));
    all.map(|(tier, url)| Tracker {
        url: url.clone(),
        tier,
    })
    .collect()
}
