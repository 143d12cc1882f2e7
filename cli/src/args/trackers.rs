//! The command lines of `announce`, `scrape` and `tracker`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::DEFAULT_PORT;
use crate::trust::TrustArgs;
use crate::units::parse_duration;

const SCRAPE_EXAMPLES: &str = "\
Example:
  ripcurrent scrape x.torrent

All trackers are asked at once. Peers are counted by each tracker for itself, so numbers of several
do not add up.";

/// See [`Command::Announce`](super::Command::Announce).
#[derive(Debug, Args)]
pub(crate) struct AnnounceArgs {
    /// The torrent file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) torrent: PathBuf,
    /// Ask this tracker instead of the torrent's own.
    #[arg(long, value_name = "URL")]
    pub(crate) tracker: Option<String>,
    /// The port to give as ours.
    #[arg(long, default_value_t = DEFAULT_PORT)]
    pub(crate) port: u16,
    /// Ask from this address of the machine; bound to a loopback address, nothing else is asked.
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<IpAddr>,
    /// Whom to believe.
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// How many peers to ask for.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) num_want: u32,
    /// How long to wait for an answer.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

/// See [`Command::Scrape`](super::Command::Scrape).
#[derive(Debug, Args)]
#[command(after_help = SCRAPE_EXAMPLES)]
pub(crate) struct ScrapeArgs {
    /// The torrent file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) torrent: PathBuf,
    /// Ask this tracker instead of the torrent's own; its announce address, as in torrents.
    #[arg(long, value_name = "URL")]
    pub(crate) tracker: Option<String>,
    /// Ask from this address of the machine; bound to a loopback address, nothing else is asked.
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<IpAddr>,
    /// Whom to believe.
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// How long to wait for all answers.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// One JSON object a line instead of text for people (cli/JSON.md).
    #[arg(long)]
    pub(crate) json: bool,
}

/// See [`Command::Tracker`](super::Command::Tracker).
#[derive(Debug, Args)]
pub(crate) struct TrackerArgs {
    /// The address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub(crate) bind: IpAddr,
    /// The TCP port to listen on; 0 for a free one.
    #[arg(long, default_value_t = 6969)]
    pub(crate) port: u16,
    /// How often peers are told to announce.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse_duration)]
    pub(crate) interval: Duration,
}
