//! What a demonstration showed.

use std::fmt;
use std::time::Duration;

use ripcurrent_proto::meta::Torrent;
use rustix::time::{ClockId, clock_gettime};

use crate::session::Figures;
use crate::units::{Count, Rate, Size, Time};

/// The figures, shown by `Display`.
#[derive(Debug)]
pub(super) struct Report {
    /// Bytes of data.
    pub(super) size: u64,
    /// How many pieces it was cut into.
    pub(super) pieces: u32,
    /// Bytes of a piece.
    pub(super) piece_length: u32,
    /// How many seeds served it.
    pub(super) seeds: usize,
    /// How long making and hashing it took.
    pub(super) made: Duration,
    /// How long fetching it took, until it was verified and durable.
    pub(super) fetching: Duration,
    /// Bytes of blocks that came.
    pub(super) downloaded: u64,
    /// Of those, bytes for nothing.
    pub(super) wasted: u64,
    /// Processor time of the whole process while data was fetched.
    pub(super) busy: Duration,
}

impl Report {
    /// The figures of a download that is complete.
    pub(super) fn new(
        torrent: &Torrent,
        seeds: usize,
        made: Duration,
        busy: Duration,
        figures: &Figures,
    ) -> Self {
        let layout = torrent.layout();
        Report {
            size: layout.total_len(),
            pieces: layout.pieces(),
            piece_length: layout.piece_length(),
            seeds,
            made,
            fetching: figures.fetching,
            downloaded: figures.stats.downloaded,
            wasted: figures.stats.wasted.total(),
            busy,
        }
    }

    /// Processor time for each GiB.
    fn busy_per_gib(&self) -> Duration {
        let micros = self.busy.as_micros() * (1 << 30) / u128::from(self.size.max(1));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, piece) = (Size(self.size), Size(self.piece_length.into()));
        let pieces = Count(self.pieces, "piece");
        writeln!(
            f,
            "data        {size} in {pieces} of {piece}, made and hashed in {}",
            Time(self.made)
        )?;
        let (time, rate) = (Time(self.fetching), Rate::mean(self.size, self.fetching));
        let seeds = Count(self.seeds as u64, "seed");
        writeln!(
            f,
            "download    {time} from {seeds}: {rate}, found through our tracker"
        )?;
        let (came, wasted) = (Size(self.downloaded), Size(self.wasted));
        writeln!(
            f,
            "traffic     {came} of blocks came, {wasted} of them in vain"
        )?;
        let (busy, each) = (Time(self.busy), Time(self.busy_per_gib()));
        writeln!(
            f,
            "processor   {busy} for seeds, tracker and download together: {each} per GiB"
        )?;
        writeln!(f, "result      every byte is the same")
    }
}

/// Processor time that this process has used so far.
pub(super) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A newcomer reads five lines with a figure each.
    #[test]
    fn the_report_reads_well() {
        let report = Report {
            size: 2 << 30,
            pieces: 1024,
            piece_length: 2 << 20,
            seeds: 1,
            made: Duration::from_secs(3),
            fetching: Duration::from_secs(4),
            downloaded: 2 << 30,
            wasted: 16 << 10,
            busy: Duration::from_secs(5),
        };
        let expected = "\
data        2 GiB in 1024 pieces of 2 MiB, made and hashed in 3s
download    4s from 1 seed: 512 MiB/s, found through our tracker
traffic     2 GiB of blocks came, 16 KiB of them in vain
processor   5s for seeds, tracker and download together: 2.50s per GiB
result      every byte is the same
";
        assert_eq!(report.to_string(), expected);
    }
}
