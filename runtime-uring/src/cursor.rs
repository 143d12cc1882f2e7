//! How far a transmission is sent.

use std::io;

use ripcurrent_proto::api::{Part, Transmission};

use crate::disk::Lent;

/// The most parts of one write; the kernel takes 1,024.
const GATHER: usize = 1024;

/// A place in a transmission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    part: usize,
    /// The byte of the part.
    from: usize,
}

impl Cursor {
    /// Where the bytes that are left lie, one place for each part and as many as one write takes.
    pub(crate) fn rest(self, transmission: &Transmission) -> impl Iterator<Item = Cursor> {
        (self.part..transmission.parts.len())
            .map(move |part| match part == self.part {
                true => self,
                false => Cursor { part, from: 0 },
            })
            .filter(|at| at.len(transmission) > 0)
            .take(GATHER)
    }

    /// How many bytes the part has from here on.
    fn len(self, transmission: &Transmission) -> usize {
        transmission.parts[self.part].len() - self.from
    }

    /// Where they begin and how many they are, wherever they lie. They stay there as long as the
    /// transmission holds the part; who may change what is lent meanwhile is no business of ours, so
    /// nobody but the kernel may look at it.
    pub(crate) fn place(self, transmission: &Transmission) -> (*const u8, usize) {
        let len = self.len(transmission);
        let lent = match &transmission.parts[self.part] {
            Part::Slab { slab, from, .. } => Lent::of(slab).map(|lent| (lent, *from as usize)),
            Part::Head { .. } => None,
        };
        match lent {
            Some((lent, from)) => (lent.place(from + self.from, len), len),
            None => (self.bytes(transmission).as_ptr(), len),
        }
    }

    /// The bytes of the part from here on, of which none is lent.
    pub(crate) fn bytes(self, transmission: &Transmission) -> &[u8] {
        &transmission.bytes(&transmission.parts[self.part])[self.from..]
    }

    /// Goes on by what a write has sent of the rest.
    ///
    /// # Errors
    /// If that is nothing: the next write would send as much.
    pub(crate) fn advance(&mut self, transmission: &Transmission, sent: usize) -> io::Result<()> {
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut left = sent;
        while left > 0 {
            let len = self.len(transmission);
            if left < len {
                self.from += left;
                return Ok(());
            }
            left -= len;
            *self = Cursor {
                part: self.part + 1,
                from: 0,
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wherever the writes break off, every byte is sent once and in order, and parts without bytes
    /// are passed over.
    #[test]
    fn however_it_is_cut_all_is_sent_once() {
        let head: Vec<u8> = (0..10).collect();
        let parts = [(0, 0), (0, 3), (3, 3), (3, 4), (4, 10), (10, 10)];
        let parts = parts.map(|(from, to)| Part::Head { from, to }).to_vec();
        let transmission = Transmission { head, parts };
        for step in 1..=10 {
            let mut cursor = Cursor::default();
            let mut sent = Vec::new();
            loop {
                let rest = cursor.rest(&transmission);
                let rest: Vec<&[u8]> = rest.map(|at| at.bytes(&transmission)).collect();
                assert!(rest.iter().all(|bytes| !bytes.is_empty()));
                let rest = rest.concat();
                if rest.is_empty() {
                    break;
                }
                let one = &rest[..step.min(rest.len())];
                sent.extend_from_slice(one);
                cursor.advance(&transmission, one.len()).unwrap();
            }
            assert_eq!(sent, transmission.head, "{step} at a time");
        }
    }

    /// A write that sends nothing is an error, not a loop without end.
    #[test]
    fn nothing_sent_is_an_error() {
        let head = vec![1];
        let parts = vec![Part::Head { from: 0, to: 1 }];
        let transmission = Transmission { head, parts };
        let error = Cursor::default().advance(&transmission, 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
