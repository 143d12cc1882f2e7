//! What our client says, and the rules for it.

use ripcurrent_proto::meta::layout::{BLOCK_LEN, Block, Layout};

use super::theirs::set_bits;
use super::{Body, CHANGE_WITHIN, Conversation, TELL_WITHIN, show};
use crate::referee::Whistle;
use crate::referee::frames::{Frame, id};
use crate::referee::holdings::Holdings;
use crate::referee::rules::Rule;
use crate::referee::wants::Answer;

/// What judging a message takes.
struct Case<'c, 'w> {
    whistle: &'c mut Whistle<'w>,
    holdings: &'c Holdings,
    layout: &'c Layout,
}

impl Conversation {
    /// Our client's bytes.
    pub(super) fn say(&mut self, whistle: &mut Whistle<'_>, holdings: &Holdings, mut data: &[u8]) {
        if let Some(fault) = self.fault {
            return whistle.blow(Rule::Severed, || format!("speaks on after {fault:?}"));
        }
        if !self.ours.greeting.is_whole() {
            self.ours.greeting.push(&mut data);
            if !self.ours.greeting.is_ours() {
                return whistle.blow(Rule::Handshake, || "not this protocol".into());
            }
        }
        let case = &mut Case {
            whistle,
            holdings,
            layout: holdings.torrent().layout(),
        };
        while let Some(frame) = self.ours.frames.next(&mut data) {
            self.judge(case, frame);
        }
    }

    fn judge(&mut self, case: &mut Case<'_, '_>, frame: Frame<'_>) {
        if !self.theirs.greeting.is_whole() && !matches!(frame, Frame::Body(..)) {
            case.against(Rule::EarlyMessage, || format!("{frame:?}"));
        }
        match frame {
            Frame::KeepAlive => {}
            Frame::Whole(id, numbers) => {
                self.judge_first(case, id);
                self.said(case, id, numbers);
            }
            Frame::Begins { id, numbers, body } => {
                self.judge_first(case, id);
                self.long_one_begins_here(case, id, numbers, body);
            }
            Frame::Body(bytes, left) => self.long_one_goes_on_here(case, bytes, left),
        }
    }

    /// What is had is told first or, without the fast extension, not at all if there is nothing.
    fn judge_first(&mut self, case: &mut Case<'_, '_>, id: u8) {
        let is_first = !std::mem::replace(&mut self.has_spoken, true);
        let tells = matches!(id, id::BITFIELD | id::HAVE_ALL | id::HAVE_NONE);
        let must_tell = self.is_fast() || self.had_something;
        if tells != is_first && (tells || must_tell) {
            case.against(Rule::FirstMessage, || match is_first {
                true => format!("id {id} comes first"),
                false => format!("id {id} comes later"),
            });
        }
    }

    fn said(&mut self, case: &mut Case<'_, '_>, id: u8, numbers: [u32; 3]) {
        let [number, ..] = numbers;
        match id {
            id::CHOKE => {
                self.changes(case, id, !self.chokes);
                self.chokes = true;
                self.wants.choked(self.is_fast(), &self.allowed);
            }
            id::UNCHOKE => {
                self.changes(case, id, self.chokes);
                self.chokes = false;
            }
            id::INTERESTED | id::NOT_INTERESTED => {
                let is_interested = id == id::INTERESTED;
                self.changes(case, id, self.is_interested != is_interested);
                self.is_interested = is_interested;
            }
            id::HAVE => self.said_have(case, number),
            id::HAVE_ALL => {
                self.must_be_fast(case, id);
                (0..self.told.len()).for_each(|piece| self.claims(case, piece));
            }
            id::HAVE_NONE | id::SUGGEST => self.must_be_fast(case, id),
            id::ALLOWED_FAST => {
                self.must_be_fast(case, id);
                self.allowed.push(number);
            }
            id::REQUEST => self.said_request(case, numbers),
            id::CANCEL => self.said_cancel(case, numbers),
            id::REJECT => {
                self.must_be_fast(case, id);
                if self.wants.answered(numbers, false) != Answer::Right {
                    case.against(Rule::IdleReject, || show(numbers));
                }
            }
            id::PORT if !self.agreed(|reserved| reserved.dht()) => {
                case.against(Rule::NotOffered, || "a DHT port".into());
            }
            _ => {}
        }
    }

    /// A choke or an interest is said where it changes something.
    fn changes(&self, case: &mut Case<'_, '_>, id: u8, changes: bool) {
        if !changes {
            case.against(Rule::RepeatedState, || format!("id {id}"));
        }
    }

    fn must_be_fast(&self, case: &mut Case<'_, '_>, id: u8) {
        if !self.agreed(|reserved| reserved.fast()) {
            case.against(Rule::NotFast, || format!("id {id}"));
        }
    }

    // What is had.

    fn said_have(&mut self, case: &mut Case<'_, '_>, piece: u32) {
        if piece as usize >= self.told.len() {
            return case.against(Rule::FalseHave, || format!("piece {piece} does not exist"));
        }
        if self.told.contains(piece as usize) {
            case.against(Rule::RepeatedHave, || format!("piece {piece}"));
        }
        self.is_telling = true;
        self.claims(case, piece as usize);
    }

    /// Our client says that it has `piece`.
    fn claims(&mut self, case: &mut Case<'_, '_>, piece: usize) {
        if !case.holdings.held().contains(piece) {
            case.against(Rule::FalseHave, || format!("piece {piece}"));
        }
        self.told.insert(piece);
    }

    /// What is held is told soon. Whoever tells of some pieces is about to tell of the others.
    pub(super) fn check_told(&mut self, whistle: &mut Whistle<'_>, holdings: &Holdings) {
        if !self.has_spoken {
            return;
        }
        while let Some((piece, since)) = holdings.log().get(self.told_to).copied() {
            let is_held = holdings.held().contains(piece as usize);
            if is_held && !self.told.contains(piece as usize) {
                if self.is_telling || since + TELL_WITHIN > whistle.now {
                    break;
                }
                whistle.blow(Rule::UntoldPiece, || format!("piece {piece}, held {since}"));
            }
            self.told_to += 1;
        }
    }

    /// Our client is interested in who has something that it misses, and in nobody else. While
    /// answers are due it may wait for them.
    pub(super) fn check_interest(&mut self, whistle: &mut Whistle<'_>, holdings: &Holdings) {
        let is_missed = holdings.are_missed(&self.has);
        let waits = self.is_interested && self.asked.len() > 0;
        if waits || is_missed.is_none_or(|is_missed| is_missed == self.is_interested) {
            self.stale_since = None;
            return;
        }
        let since = *self.stale_since.get_or_insert(whistle.now);
        if whistle.now > since + CHANGE_WITHIN {
            self.stale_since = None;
            let interested = self.is_interested;
            whistle.blow(Rule::StaleInterest, || {
                format!("{interested} since {since}")
            });
        }
    }

    // What is asked.

    fn said_request(&mut self, case: &mut Case<'_, '_>, range: [u32; 3]) {
        let Some(block) = whole_block(case.layout, range) else {
            return case.against(Rule::BadRange, || show(range));
        };
        let piece = block.piece.at();
        let is_allowed = self.allows.as_ref().is_some_and(|set| set.contains(piece));
        let rules = [
            (
                Rule::ChokedRequest,
                self.is_choking && !self.unchoked_lately && !is_allowed,
            ),
            (Rule::UninterestedRequest, !self.is_interested),
            (Rule::AbsentRequest, !self.has.contains(piece)),
            (
                Rule::NeedlessRequest,
                case.holdings.held_before(block.piece.0, self.spoken),
            ),
            (
                Rule::DoubleRequest,
                self.asked
                    .ask((block.piece.0, block.begin), self.voided_lately),
            ),
            (
                Rule::TooManyRequests,
                self.asked.len() > self.extensions.most_out(),
            ),
        ];
        for (rule, _) in rules.into_iter().filter(|(_, broken)| *broken) {
            case.against(rule, || show(range));
        }
    }

    fn said_cancel(&mut self, case: &mut Case<'_, '_>, range: [u32; 3]) {
        let block = whole_block(case.layout, range);
        let is_fast = self.is_fast();
        let was_out =
            block.is_some_and(|block| self.asked.cancel((block.piece.0, block.begin), is_fast));
        if !was_out {
            case.against(Rule::IdleCancel, || show(range));
        }
    }

    // What is given.

    fn said_piece(&mut self, case: &mut Case<'_, '_>, range: [u32; 3]) {
        let [piece, _, len] = range;
        match self.wants.answered(range, true) {
            Answer::Right => {}
            Answer::OtherLength(asked) => {
                let detail = || format!("{}, where {asked} were asked for", show(range));
                case.against(Rule::PieceLength, detail);
            }
            Answer::Nothing => case.against(Rule::UnaskedPiece, || show(range)),
        }
        if self.chokes && !self.allowed.contains(&piece) {
            case.against(Rule::ChokingPiece, || show(range));
        }
        if !case.holdings.held().contains(piece as usize) {
            case.against(Rule::UnheldPiece, || show(range));
        }
        self.traffic.up += u64::from(len);
    }

    // What is longer.

    fn long_one_begins_here(
        &mut self,
        case: &mut Case<'_, '_>,
        id: u8,
        [piece, begin, _]: [u32; 3],
        body: u32,
    ) {
        self.ours.body = Body::Skipped;
        match id {
            id::PIECE if body > 0 => self.said_piece(case, [piece, begin, body]),
            id::BITFIELD => {
                let due = self.told.len().div_ceil(8);
                if body as usize != due {
                    let detail = || format!("{body} bytes where {due} are due");
                    return case.against(Rule::Bitfield, detail);
                }
                self.ours.body = Body::Bits(0);
            }
            id::EXTENDED if body > 0 => {
                if !self.agreed(|reserved| reserved.extended()) {
                    case.against(Rule::NotExtended, || "not agreed on".into());
                }
                self.ours.body = Body::Extended(Vec::new());
            }
            id::HASH_REQUEST | id::HASHES | id::HASH_REJECT => {
                if !self.agreed(|reserved| reserved.v2()) {
                    case.against(Rule::NotOffered, || "hashes of version 2".into());
                }
            }
            _ => case.against(Rule::Frame, || format!("id {id} with {body} bytes")),
        }
    }

    fn long_one_goes_on_here(&mut self, case: &mut Case<'_, '_>, bytes: &[u8], left: u32) {
        match &mut self.ours.body {
            Body::Skipped | Body::Payload => {}
            Body::Bits(at) => {
                let from = std::mem::replace(at, *at + bytes.len());
                for piece in set_bits(bytes, from) {
                    match piece < self.told.len() {
                        true => self.claims(case, piece),
                        false => case.against(Rule::Bitfield, || format!("spare bit {piece}")),
                    }
                }
            }
            Body::Extended(_) => {
                // Its id is the first byte; what is behind it is not judged.
                self.ours.body = Body::Skipped;
                self.said_extended(case, bytes[0]);
            }
        }
        if left == 0 {
            self.ours.body = Body::Skipped;
        }
    }

    fn said_extended(&mut self, case: &mut Case<'_, '_>, id: u8) {
        match id {
            0 => self.has_told_extensions = true,
            _ if !self.has_told_extensions => {
                case.against(Rule::NotExtended, || "before the handshake".into());
            }
            _ if !self.extensions.has(id) => {
                case.against(Rule::NotExtended, || format!("extended id {id}"));
            }
            _ => {}
        }
    }
}

impl Case<'_, '_> {
    fn against(&mut self, rule: Rule, detail: impl FnOnce() -> String) {
        self.whistle.blow(rule, detail);
    }
}

/// The block that a range is, if it is one: a whole one, as all clients ask for (BEP 3).
pub(super) fn whole_block(layout: &Layout, [piece, begin, len]: [u32; 3]) -> Option<Block> {
    let block = layout.block(piece, begin, len)?;
    let is_aligned = begin.is_multiple_of(BLOCK_LEN);
    (is_aligned && layout.nth_block(block.piece, begin / BLOCK_LEN) == block).then_some(block)
}
