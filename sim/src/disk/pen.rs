//! A write under way: how much of it lands.

use ripcurrent_proto::api::IoError;
use ripcurrent_proto::base::rng::Rng;

use super::faults::FULL;
use super::file::File;

/// How much of a write lands. What lands is a number of units: sectors, or blocks where files are
/// compact.
#[derive(Debug)]
pub(super) enum Landing<'a> {
    Whole,
    /// What ends within so many bytes; then it fails.
    Short(u64),
    /// Units here and there; then it fails.
    Torn(&'a mut Rng),
}

#[derive(Debug)]
pub(super) struct Pen<'a> {
    landing: Landing<'a>,
    /// Bytes that are done with.
    done: u64,
}

impl<'a> Pen<'a> {
    pub(super) fn new(landing: Landing<'a>) -> Self {
        Pen { landing, done: 0 }
    }

    /// Whether the write is to fail, whatever has landed.
    pub(super) fn fails(&self) -> bool {
        !matches!(self.landing, Landing::Whole)
    }

    /// Leaves out what no file holds.
    pub(super) fn skip(&mut self, len: u32) {
        self.done += u64::from(len);
    }

    /// Writes what lands and fits into `room`, if that is bounded. Returns the bytes of the disk
    /// that it takes, too.
    pub(super) fn write(
        &mut self,
        file: &mut File,
        offset: u64,
        bytes: &[u8],
        room: Option<u64>,
    ) -> (u64, Result<(), IoError>) {
        if !self.fails() && room.is_none() {
            self.done += bytes.len() as u64;
            return (file.write(offset, bytes), Ok(()));
        }
        let mut offset = offset;
        let mut rest = bytes;
        let mut taken = 0;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(file.to_next_unit(offset).min(rest.len()));
            self.done += now.len() as u64;
            if self.lands() {
                let need = taken + file.need(offset, now.len() as u64);
                if room.is_some_and(|room| need > room) {
                    return (taken, Err(FULL));
                }
                taken += file.write(offset, now);
            }
            offset += now.len() as u64;
            rest = later;
        }
        (taken, Ok(()))
    }

    /// Whether the unit that ends here lands.
    fn lands(&mut self) -> bool {
        match &mut self.landing {
            Landing::Whole => true,
            Landing::Short(bytes) => self.done <= *bytes,
            Landing::Torn(rng) => rng.below(2) == 0,
        }
    }
}
