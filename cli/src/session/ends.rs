//! When a torrent of a session has had its time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ripcurrent_proto::api::TorrentStats;
use ripcurrent_proto::meta::layout::Layout;

/// When a torrent ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// How long it is served when it is complete; `None`: not at all.
    pub(crate) seeding: Option<Seeding>,
    /// Serve also what was complete when the session began.
    pub(crate) serves_again: bool,
    /// The longest without a byte while something is missing.
    pub(crate) stop_timeout: Option<Duration>,
    /// The longest without room on the disk.
    pub(crate) disk_wait: Duration,
}

impl Ends {
    /// Leaves when everything is there, and never before.
    pub(crate) const WHEN_COMPLETE: Ends = Ends {
        seeding: None,
        serves_again: false,
        stop_timeout: None,
        disk_wait: Duration::from_secs(60),
    };

    /// Serves until somebody asks.
    pub(crate) const WHEN_ASKED: Ends = Ends {
        seeding: Some(Seeding {
            ratio: UntilRatio(None),
            time: None,
        }),
        serves_again: true,
        ..Ends::WHEN_COMPLETE
    };
}

/// How long a complete torrent is served, unless somebody asks before: until the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seeding {
    /// Until so much was sent.
    pub(crate) ratio: UntilRatio,
    /// For so long.
    pub(crate) time: Option<Duration>,
}

impl Seeding {
    /// Whether that is reached by a torrent that sent so much, `owes` so much for a ratio of one, and
    /// has been complete for so long.
    pub(crate) fn is_over(&self, sent: u64, owes: u64, complete_for: Duration) -> bool {
        let is_late = self.time.is_some_and(|time| complete_for >= time);
        is_late || self.ratio.is_reached(sent, owes)
    }
}

/// Ends seeding at a ratio of what was sent to what is owed, in thousandths; `None` for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UntilRatio(pub(crate) Option<u64>);

impl UntilRatio {
    /// As much as was received.
    pub(crate) const ONE: UntilRatio = UntilRatio(Some(1000));

    fn is_reached(self, sent: u64, owes: u64) -> bool {
        let is_reached = |ratio| u128::from(sent) * 1000 >= u128::from(owes) * u128::from(ratio);
        self.0.is_some_and(is_reached)
    }
}

/// The bytes that are owed for a ratio of one: those that were received, but at least the size of
/// what there is. Who has it from elsewhere, or from an earlier run, owes as much.
pub(crate) fn owes(stats: &TorrentStats, layout: &Layout) -> u64 {
    let pieces = u64::from(stats.pieces_had) * u64::from(layout.piece_length());
    let there = stats.bytes_wanted.max(pieces.min(layout.total_len()));
    stats.downloaded.max(there)
}

/// Why a ratio cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a ratio as 1, 0.5 or 1.25, or `none`; to leave at once there is --no-seed")]
pub(crate) struct BadRatio;

impl FromStr for UntilRatio {
    type Err = BadRatio;

    fn from_str(text: &str) -> Result<Self, BadRatio> {
        if text == "none" {
            return Ok(UntilRatio(None));
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !are_digits(whole) || !are_digits(fraction) || fraction.len() > 3 {
            return Err(BadRatio);
        }
        let digits = format!("{whole}{fraction:0<3}");
        match digits.parse() {
            Ok(thousandths @ 1..) => Ok(UntilRatio(Some(thousandths))),
            _ => Err(BadRatio),
        }
    }
}

/// As it is read: `1`, `0.5`, `none`.
impl fmt::Display for UntilRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none"),
            Some(thousandths) if thousandths % 1000 == 0 => write!(f, "{}", thousandths / 1000),
            Some(thousandths) => {
                let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
                f.write_str(text.trim_end_matches('0'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::meta::layout::{FileEntry, FileKind};

    /// A ratio is a decimal number of at most three places, and shown as it is written.
    #[test]
    fn ratios_are_read_and_shown() {
        for (text, thousandths) in [
            ("1", Some(1000)),
            ("0.5", Some(500)),
            ("1.25", Some(1250)),
            ("0.001", Some(1)),
            ("none", None),
        ] {
            let ratio: UntilRatio = text.parse().unwrap();
            assert_eq!(ratio, UntilRatio(thousandths));
            assert_eq!(ratio.to_string(), text);
        }
        assert_eq!("1.0".parse(), Ok(UntilRatio::ONE));
        for text in [
            "",
            "0",
            "0.0",
            "-1",
            "1.2345",
            ".5",
            "1.",
            "inf",
            "99999999999999999999",
        ] {
            assert_eq!(text.parse::<UntilRatio>(), Err(BadRatio), "{text}");
        }
    }

    /// The first of the two ends it.
    #[test]
    fn seeding_ends_at_the_ratio_or_the_time() {
        let seeding = Seeding {
            ratio: UntilRatio::ONE,
            time: Some(Duration::from_secs(9)),
        };
        let (soon, late) = (Duration::from_secs(8), Duration::from_secs(9));
        assert!(!seeding.is_over(999, 1000, soon));
        assert!(seeding.is_over(999, 1000, late));
        assert!(seeding.is_over(1000, 1000, soon));
        let for_ever = Ends::WHEN_ASKED.seeding.unwrap();
        assert!(!for_ever.is_over(u64::MAX, 1, Duration::MAX));
    }

    /// Who fetched nothing owes what there is, who fetched more than that owes all of it.
    #[test]
    fn what_came_from_elsewhere_is_owed_as_well() {
        let file = FileEntry {
            path: vec!["file".into()],
            len: 250,
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let layout = Layout::new(100, vec![file]).unwrap();
        let mut stats = TorrentStats {
            pieces_had: 3,
            ..TorrentStats::default()
        };
        assert_eq!(owes(&stats, &layout), 250, "a seed");
        stats.bytes_wanted = 250;
        stats.downloaded = 50;
        assert_eq!(owes(&stats, &layout), 250, "the rest came earlier");
        stats.downloaded = 300;
        assert_eq!(owes(&stats, &layout), 300, "some came in vain");
    }
}
