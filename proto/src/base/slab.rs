//! Memory that travels: page-aligned buffers that an intent takes with it and a completion brings
//! back, and the pool that bounds them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

/// What slabs are aligned to, in bytes: at least what direct I/O asks for.
pub const PAGE: usize = 4096;

/// Where an engine's slabs get their memory. The allocator is one such place; a host may know better
/// pages, for the network and the disk are its own.
pub trait Source: fmt::Debug + Send {
    /// `len` bytes of zeros, or nothing: the allocator is asked then.
    fn allocate(&self, len: usize) -> Option<Box<dyn Memory>>;
}

/// The memory of one slab, which goes back to where it came from when it is dropped.
pub trait Memory: Send + Sync {
    /// All bytes, always as many.
    fn bytes(&self) -> &[u8];

    /// All bytes, always as many.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Puts `bytes` at `at`: for what came from the network, which nobody has looked at for a while
    /// where it goes.
    ///
    /// # Panics
    /// If they do not fit.
    fn put(&mut self, at: usize, bytes: &[u8]) {
        let to = &mut self.bytes_mut()[at..at + bytes.len()];
        // A page at a time: for more, C libraries change to a way that is slow from one alignment to
        // another.
        for (to, bytes) in to.chunks_mut(PAGE).zip(bytes.chunks(PAGE)) {
            to.copy_from_slice(bytes);
        }
    }
}

impl Memory for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

/// An owned buffer whose first byte lies at the start of a page, or [shifted](Slab::shift) from it.
/// Its length is how much of it is in use.
pub struct Slab {
    memory: Box<dyn Memory>,
    start: usize,
    capacity: usize,
    len: usize,
    filling: Filling,
}

/// What a host fills a slab with.
enum Filling {
    /// Bytes.
    Bytes,
    /// Bytes, or a loan.
    Either,
    /// It is filled with a loan.
    Loan(Loan),
}

/// What a host lends instead of bytes, to itself: whatever finds them again.
pub type Loan = Box<dyn Any + Send + Sync>;

impl Slab {
    /// A zeroed slab of `capacity` bytes, with length 0.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Slab::within(Box::new(vec![0u8; capacity + PAGE]), capacity)
    }

    /// A slab of `capacity` bytes in memory of a page more than that.
    fn within(memory: Box<dyn Memory>, capacity: usize) -> Self {
        assert!(
            memory.bytes().len() >= capacity + PAGE,
            "the source gives what it was asked for"
        );
        let mut slab = Slab {
            memory,
            start: 0,
            capacity,
            len: 0,
            filling: Filling::Bytes,
        };
        slab.shift(0);
        slab
    }

    /// Has the first byte lie `bytes` behind the start of a page, counted modulo [`PAGE`]: where
    /// they are those of its place in a file, a direct write of the slab's pages is a write of the
    /// file's. What the slab holds is anything afterwards, and may be told by nobody: it depends on
    /// where the memory lies.
    pub fn shift(&mut self, bytes: usize) {
        let aligned = self.memory.bytes().as_ptr().align_offset(PAGE);
        assert!(
            aligned < PAGE,
            "a byte pointer can always be aligned to a page"
        );
        self.start = (aligned + bytes % PAGE) % PAGE;
    }

    /// Lets whoever fills it next [lend](Self::lend) the bytes instead. They are wanted for nothing but
    /// to be sent.
    pub fn accept_loan(&mut self) {
        self.filling = Filling::Either;
    }

    /// Whether it may be filled with a loan.
    #[must_use]
    pub fn accepts_loan(&self) -> bool {
        matches!(self.filling, Filling::Either)
    }

    /// Fills all that is in use with a loan: the slab stands for bytes that are somewhere else, where
    /// the host that lends them finds them when they are to be sent. They count against the budget as
    /// if they were here. The loan is dropped when nobody wants to send them any more.
    ///
    /// # Panics
    /// If the slab accepts none.
    pub fn lend(&mut self, loan: Loan) {
        assert!(self.accepts_loan(), "nobody asked for a loan");
        self.filling = Filling::Loan(loan);
    }

    /// What it was filled with, if that is a loan.
    #[must_use]
    pub fn loan(&self) -> Option<&(dyn Any + Send + Sync)> {
        match &self.filling {
            Filling::Loan(loan) => Some(&**loan),
            Filling::Bytes | Filling::Either => None,
        }
    }

    /// The bytes in use; of a slab with a [loan](Self::loan) anything.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        debug_assert!(self.loan().is_none(), "its bytes are not here");
        &self.memory.bytes()[self.start..self.start + self.len]
    }

    /// The bytes in use.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory.bytes_mut()[self.start..self.start + self.len]
    }

    /// Copies `bytes` to `at`, by the means of its memory.
    ///
    /// # Panics
    /// If that is not within the bytes in use.
    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        let end = at.checked_add(bytes.len());
        assert!(
            end.is_some_and(|end| end <= self.len),
            "a slab takes nothing beyond its length"
        );
        self.memory.put(self.start + at, bytes);
    }

    /// How many bytes are in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no bytes are in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The most bytes this slab can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Sets how many bytes are in use; what they hold is whatever was there.
    ///
    /// # Panics
    /// If `len` exceeds the capacity.
    pub fn set_len(&mut self, len: usize) {
        assert!(
            len <= self.capacity,
            "a slab of {} holds no {len} bytes",
            self.capacity
        );
        self.len = len;
    }
}

impl fmt::Debug for Slab {
    /// Neither the address nor the contents: one would not replay, the other would not fit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slab({}/{})", self.len, self.capacity)
    }
}

/// What a slab is wanted for; downloads leave a share of the budget to uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A piece being received or checked.
    Download,
    /// Blocks read to be sent.
    Upload,
}

/// All slabs of an engine. What they take adds up to at most the budget, lent and spare together;
/// each takes its capacity and a page.
///
/// Invariant: `lent_download + lent_upload + spare <= budget`, and
/// `lent_download <= budget - upload_share`.
#[derive(Debug)]
pub struct SlabPool {
    budget: usize,
    upload_share: usize,
    lent_download: usize,
    lent_upload: usize,
    spare_bytes: usize,
    /// Spare slabs by capacity.
    spare: BTreeMap<usize, Vec<Slab>>,
    /// Where new ones are made, if not by the allocator.
    source: Option<Box<dyn Source>>,
}

impl SlabPool {
    /// A pool of at most `budget` bytes, of which `upload_share` are kept from downloads.
    #[must_use]
    pub fn new(budget: usize, upload_share: usize) -> Self {
        SlabPool {
            budget,
            upload_share: upload_share.min(budget),
            lent_download: 0,
            lent_upload: 0,
            spare_bytes: 0,
            spare: BTreeMap::new(),
            source: None,
        }
    }

    /// Has slabs that are made from now on get their memory from `source`.
    pub fn set_source(&mut self, source: Box<dyn Source>) {
        self.source = Some(source);
    }

    /// Whether `take` would give a slab now.
    #[must_use]
    pub fn can_take(&self, capacity: usize, purpose: Purpose) -> bool {
        let fits = purpose == Purpose::Upload || self.fits_share(capacity, purpose);
        fits && self.lent_bytes() + cost(capacity) <= self.budget
    }

    /// Whether the share of `purpose` has room for `capacity` bytes, whatever is lent for the
    /// other. Uploads may go beyond theirs.
    #[must_use]
    pub fn fits_share(&self, capacity: usize, purpose: Purpose) -> bool {
        let taken = cost(capacity);
        match purpose {
            Purpose::Download => self.lent_download + taken <= self.budget - self.upload_share,
            Purpose::Upload => self.lent_upload + taken <= self.upload_share,
        }
    }

    /// Lends a slab of `capacity` bytes, length 0 and not shifted, or nothing if the budget is
    /// spent.
    pub fn take(&mut self, capacity: usize, purpose: Purpose) -> Option<Slab> {
        if !self.can_take(capacity, purpose) {
            return None;
        }
        let slab = match self.spare.get_mut(&capacity).and_then(Vec::pop) {
            Some(mut slab) => {
                self.spare_bytes -= cost(capacity);
                slab.set_len(0);
                slab.shift(0);
                slab
            }
            None => {
                self.make_room(capacity);
                let source = self.source.as_ref();
                let memory = source.and_then(|source| source.allocate(capacity + PAGE));
                match memory {
                    Some(memory) => Slab::within(memory, capacity),
                    None => Slab::new(capacity),
                }
            }
        };
        *self.lent(purpose) += cost(capacity);
        Some(slab)
    }

    /// Takes a slab back that was lent for `purpose`.
    pub fn give(&mut self, mut slab: Slab, purpose: Purpose) {
        slab.filling = Filling::Bytes;
        let capacity = slab.capacity();
        let lent = self.lent(purpose);
        *lent = lent
            .checked_sub(cost(capacity))
            .expect("a slab is given back once, for what it was lent");
        self.spare_bytes += cost(capacity);
        self.spare.entry(capacity).or_default().push(slab);
    }

    /// A slab that was lent for a download is an upload's from now on.
    pub fn pass_on(&mut self, slab: &Slab) {
        let taken = cost(slab.capacity());
        let left = self.lent_download.checked_sub(taken);
        self.lent_download = left.expect("a slab is passed on once, by whom it was lent to");
        self.lent_upload += taken;
    }

    /// Returns the memory of all spare slabs to the allocator.
    pub fn trim(&mut self) {
        self.spare.clear();
        self.spare_bytes = 0;
    }

    /// The most bytes of slabs there will ever be.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Bytes lent out now, the page of each slab included.
    #[must_use]
    pub fn lent_bytes(&self) -> usize {
        self.lent_download + self.lent_upload
    }

    fn lent(&mut self, purpose: Purpose) -> &mut usize {
        match purpose {
            Purpose::Download => &mut self.lent_download,
            Purpose::Upload => &mut self.lent_upload,
        }
    }

    /// Frees spare slabs of other sizes until `capacity` more bytes fit the budget.
    fn make_room(&mut self, capacity: usize) {
        let lent = self.lent_download + self.lent_upload;
        while lent + self.spare_bytes + cost(capacity) > self.budget {
            let Some(mut largest) = self.spare.last_entry() else {
                return;
            };
            if largest.get_mut().pop().is_some() {
                self.spare_bytes -= cost(*largest.key());
            }
            if largest.get().is_empty() {
                largest.remove();
            }
        }
    }
}

/// What a slab takes of the budget, in bytes.
const fn cost(capacity: usize) -> usize {
    capacity + PAGE
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[test]
    fn a_slab_starts_on_a_page() {
        for capacity in [1, 16 * 1024, 1 << 20] {
            let mut slab = Slab::new(capacity);
            slab.set_len(capacity);
            assert_eq!(slab.as_slice().as_ptr().align_offset(PAGE), 0);
            assert_eq!(slab.as_slice().len(), capacity);
        }
    }

    /// Wherever its first byte lies in a page, all of a slab can be used; the pool gives it out as
    /// a new one.
    #[test]
    fn a_slab_can_be_shifted() {
        let mut pool = SlabPool::new(1 << 20, 0);
        for bytes in [0, 1, 16, PAGE / 2, PAGE - 1, PAGE, 3 * PAGE + 5] {
            let mut slab = pool.take(10_000, Purpose::Download).unwrap();
            assert_eq!(slab.as_slice().as_ptr() as usize % PAGE, 0);
            slab.shift(bytes);
            slab.set_len(10_000);
            slab.as_mut_slice().fill(7);
            assert_eq!(slab.as_slice().as_ptr() as usize % PAGE, bytes % PAGE);
            pool.give(slab, Purpose::Download);
        }
        assert_eq!(pool.spare_bytes, cost(10_000), "it was one slab all along");
    }

    /// Memory comes from the source while it has some, then from the allocator, and goes back.
    #[test]
    fn a_source_is_asked_first() {
        #[derive(Debug)]
        struct Two(Arc<AtomicUsize>);
        struct One(Vec<u8>, Arc<AtomicUsize>);

        impl Source for Two {
            fn allocate(&self, len: usize) -> Option<Box<dyn Memory>> {
                let left = self.0.load(Relaxed).checked_sub(1)?;
                self.0.store(left, Relaxed);
                Some(Box::new(One(vec![0; len], Arc::clone(&self.0))))
            }
        }

        impl Memory for One {
            fn bytes(&self) -> &[u8] {
                &self.0
            }

            fn bytes_mut(&mut self) -> &mut [u8] {
                &mut self.0
            }
        }

        impl Drop for One {
            fn drop(&mut self) {
                self.1.fetch_add(1, Relaxed);
            }
        }

        let left = Arc::new(AtomicUsize::new(2));
        let mut pool = SlabPool::new(1 << 20, 0);
        pool.set_source(Box::new(Two(Arc::clone(&left))));
        let take = |pool: &mut SlabPool| pool.take(16 << 10, Purpose::Download).unwrap();
        let mut slabs: Vec<_> = (0..3).map(|_| take(&mut pool)).collect();
        assert_eq!(left.load(Relaxed), 0);
        for slab in &mut slabs {
            slab.set_len(16 << 10);
            slab.put(100, b"here");
            assert_eq!(&slab.as_slice()[99..105], b"\0here\0");
        }
        for slab in slabs {
            pool.give(slab, Purpose::Download);
        }
        pool.trim();
        assert_eq!(left.load(Relaxed), 2);
    }

    /// A loan is taken where one is asked for, and lives until the slab is home.
    #[test]
    fn a_loan_ends_with_the_slab() {
        let mut pool = SlabPool::new(1 << 20, 0);
        let mut slab = pool.take(100, Purpose::Upload).unwrap();
        assert!(!slab.accepts_loan());
        slab.accept_loan();
        let lent = alloc::sync::Arc::new(7u32);
        slab.lend(Box::new(lent.clone()));
        let found = slab.loan().and_then(|loan| loan.downcast_ref());
        assert_eq!(found, Some(&lent));
        pool.give(slab, Purpose::Upload);
        assert_eq!(alloc::sync::Arc::strong_count(&lent), 1);
        let slab = pool.take(100, Purpose::Upload).unwrap();
        assert!(!slab.accepts_loan() && slab.loan().is_none());
        pool.give(slab, Purpose::Upload);
    }

    #[test]
    fn the_pool_never_exceeds_its_budget_whatever_the_sizes() {
        let mut pool = SlabPool::new(100 << 10, 16 << 10);
        let downloads: Vec<_> =
            core::iter::from_fn(|| pool.take(32 << 10, Purpose::Download)).collect();
        assert_eq!(downloads.len(), 2, "84 KiB are for downloads");
        let upload = pool.take(16 << 10, Purpose::Upload).unwrap();
        for slab in downloads {
            pool.give(slab, Purpose::Download);
        }
        let large = pool.take(72 << 10, Purpose::Download).unwrap();
        assert!(pool.spare_bytes + pool.lent_bytes() <= pool.budget());
        assert!(pool.take(16 << 10, Purpose::Upload).is_none());
        pool.give(large, Purpose::Download);
        pool.give(upload, Purpose::Upload);
        assert_eq!(pool.lent_bytes(), 0);
    }
}
