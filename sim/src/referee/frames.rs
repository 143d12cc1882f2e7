//! Cuts one direction of a connection into frames (BEP 3, "peer protocol"), wherever the stream is
//! cut. Nothing is allocated: numbers are gathered in place, bodies pass through.

/// The message ids (BEP 3, 5, 6, 10 and 52).
pub(super) mod id {
    pub(in super::super) const CHOKE: u8 = 0;
    pub(in super::super) const UNCHOKE: u8 = 1;
    pub(in super::super) const INTERESTED: u8 = 2;
    pub(in super::super) const NOT_INTERESTED: u8 = 3;
    pub(in super::super) const HAVE: u8 = 4;
    pub(in super::super) const BITFIELD: u8 = 5;
    pub(in super::super) const REQUEST: u8 = 6;
    pub(in super::super) const PIECE: u8 = 7;
    pub(in super::super) const CANCEL: u8 = 8;
    pub(in super::super) const PORT: u8 = 9;
    pub(in super::super) const SUGGEST: u8 = 13;
    pub(in super::super) const HAVE_ALL: u8 = 14;
    pub(in super::super) const HAVE_NONE: u8 = 15;
    pub(in super::super) const REJECT: u8 = 16;
    pub(in super::super) const ALLOWED_FAST: u8 = 17;
    pub(in super::super) const EXTENDED: u8 = 20;
    pub(in super::super) const HASH_REQUEST: u8 = 21;
    pub(in super::super) const HASHES: u8 = 22;
    pub(in super::super) const HASH_REJECT: u8 = 23;
}

/// The length prefix.
const PREFIX: usize = 4;
/// The prefix and the id.
const NAMED: usize = PREFIX + 1;
/// As much as is gathered of any frame: the prefix, the id and three numbers.
const HEAD: usize = NAMED + 12;

/// What a stream holds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'d> {
    /// A frame of no length.
    KeepAlive,
    /// A message whole: its id, and the numbers behind it, 0 where it has fewer.
    Whole(u8, [u32; 3]),
    /// A message with `body` further bytes begins; of a piece the two numbers are in. A message
    /// whose length does not fit its id comes so too.
    Begins {
        id: u8,
        numbers: [u32; 3],
        body: u32,
    },
    /// A part of the body, and how much is left of it.
    Body(&'d [u8], u32),
}

/// Where one direction of a connection stands.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    head: [u8; HEAD],
    filled: usize,
    /// Bytes of a body that have not passed.
    body: u32,
}

impl Cutter {
    /// The next frame or part of one; `None`: all of `data` was taken.
    pub(super) fn next<'d>(&mut self, data: &mut &'d [u8]) -> Option<Frame<'d>> {
        if self.body > 0 {
            let passing = take(data, self.body as usize);
            self.body -= passing.len() as u32;
            return (!passing.is_empty()).then_some(Frame::Body(passing, self.body));
        }
        while self.filled < self.need() {
            let bytes = take(data, self.need() - self.filled);
            if bytes.is_empty() {
                return None;
            }
            self.head[self.filled..][..bytes.len()].copy_from_slice(bytes);
            self.filled += bytes.len();
        }
        Some(self.cut())
    }

    /// How much of the frame's head must be there before it tells more.
    fn need(&self) -> usize {
        match self.filled {
            0..PREFIX => PREFIX,
            _ if self.len() == 0 => PREFIX,
            PREFIX => NAMED,
            _ => NAMED + self.numbers_len(),
        }
    }

    /// Bytes of numbers that are gathered behind the id.
    fn numbers_len(&self) -> usize {
        let behind = self.len() as usize - 1;
        match numbers_of(self.head[PREFIX]) {
            Numbers::Only(len) if len == behind => len,
            Numbers::First(len) if len <= behind => len,
            _ => 0,
        }
    }

    fn cut(&mut self) -> Frame<'static> {
        let (len, filled) = (self.len(), std::mem::take(&mut self.filled));
        if len == 0 {
            return Frame::KeepAlive;
        }
        let id = self.head[PREFIX];
        let mut numbers = [0; 3];
        let (words, rest) = self.head[NAMED..filled].as_chunks::<4>();
        for (number, word) in numbers.iter_mut().zip(words) {
            *number = u32::from_be_bytes(*word);
        }
        if let [high, low] = rest {
            numbers[0] = u32::from(u16::from_be_bytes([*high, *low]));
        }
        self.body = len - (filled - PREFIX) as u32;
        match numbers_of(id) {
            Numbers::Only(_) if self.body == 0 => Frame::Whole(id, numbers),
            _ => Frame::Begins {
                id,
                numbers,
                body: self.body,
            },
        }
    }

    fn len(&self) -> u32 {
        let [a, b, c, d, ..] = self.head;
        u32::from_be_bytes([a, b, c, d])
    }
}

/// Which numbers stand behind an id.
enum Numbers {
    /// So many bytes of them and nothing else.
    Only(usize),
    /// So many bytes of them, then a body.
    First(usize),
}

fn numbers_of(id: u8) -> Numbers {
    match id {
        id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED => Numbers::Only(0),
        id::HAVE_ALL | id::HAVE_NONE => Numbers::Only(0),
        id::PORT => Numbers::Only(2),
        id::HAVE | id::SUGGEST | id::ALLOWED_FAST => Numbers::Only(4),
        id::REQUEST | id::CANCEL | id::REJECT => Numbers::Only(12),
        id::PIECE => Numbers::First(8),
        _ => Numbers::First(0),
    }
}

/// Takes up to `most` bytes from the front of `data`.
fn take<'d>(data: &mut &'d [u8], most: usize) -> &'d [u8] {
    let taken;
    (taken, *data) = data.split_at(data.len().min(most));
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every shape of message: numbers, a body behind numbers, an unknown one, one too long for its
    /// id, and nothing.
    const STREAM: &[u8] = b"\0\0\0\x01\x02\0\0\0\0\0\0\0\x05\x04\0\0\x01\0\
        \0\0\0\x0b\x07\0\0\0\x02\0\0\x40\0xy\0\0\0\x03\x09\x1a\xe1\
        \0\0\0\x03\x63ab\0\0\0\x02\x01z\0\0\0\x0d\x06\0\0\0\x01\0\0\0\x02\0\0\0\x03";

    fn told(pieces: &[&[u8]]) -> Vec<String> {
        let mut cutter = Cutter::default();
        let mut told: Vec<String> = Vec::new();
        for piece in pieces {
            let mut data = *piece;
            while let Some(frame) = cutter.next(&mut data) {
                match frame {
                    // Bodies come in any number of parts.
                    Frame::Body(bytes, left) => told.extend(
                        (0..bytes.len())
                            .map(|at| format!("{} {left}", bytes[at]))
                            .map(|text| text.split(' ').next().unwrap().to_owned()),
                    ),
                    frame => told.push(format!("{frame:?}")),
                }
            }
        }
        told
    }

    /// The same frames come out wherever the stream is cut.
    #[test]
    fn any_cut_tells_the_same() {
        let whole = told(&[STREAM]);
        assert_eq!(whole[0], "Whole(2, [0, 0, 0])");
        assert_eq!(whole[1], "KeepAlive");
        assert_eq!(whole[2], "Whole(4, [256, 0, 0])");
        assert_eq!(
            whole[3],
            "Begins { id: 7, numbers: [2, 16384, 0], body: 2 }"
        );
        assert_eq!(whole[6], "Whole(9, [6881, 0, 0])");
        assert_eq!(whole.last().unwrap(), "Whole(6, [1, 2, 3])");
        for cut in 0..STREAM.len() {
            let (front, back) = STREAM.split_at(cut);
            assert_eq!(told(&[front, back]), whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(told(&single), whole);
    }
}
