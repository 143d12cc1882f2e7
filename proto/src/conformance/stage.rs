//! What a scene can do and wait for.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::net::{IpAddr, SocketAddr};
use core::pin::pin;
use core::task::Poll;

use super::ledger::{Answer, Conn, Ledger};
use super::{Env, Failure, Verdict, pattern, patterned};
use crate::api::{Access, Spans, StorageId, Transmission};
use crate::api::{Disk, DiskDone, DiskError, EndReason, Found, IoError, Net, Output, Stamp};
use crate::base::id::{ConnId, OpId};
use crate::base::slab::Slab;
use crate::base::time::Duration;
use crate::meta::layout::{FileIndex, Layout};

/// How often a scene looks for a flag that the other role may have raised.
const LOOK: Duration = Duration::from_millis(5);

/// Fails with a sentence unless `condition` holds.
pub(super) fn ensure(condition: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if condition {
        Ok(())
    } else {
        Err(Failure(otherwise()))
    }
}

/// Plays two parts of a scene side by side; the first failure ends both.
pub(super) async fn join(
    one: impl Future<Output = Verdict>,
    other: impl Future<Output = Verdict>,
) -> Verdict {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut one_done, mut other_done) = (false, false);
    poll_fn(|cx| {
        if !one_done && let Poll::Ready(verdict) = one.as_mut().poll(cx) {
            verdict?;
            one_done = true;
        }
        if !other_done && let Poll::Ready(verdict) = other.as_mut().poll(cx) {
            verdict?;
            other_done = true;
        }
        if one_done && other_done {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    })
    .await
}

/// Plays many parts of a scene side by side; the first failure ends all.
pub(super) async fn all<F: Future<Output = Verdict>>(parts: impl Iterator<Item = F>) -> Verdict {
    let mut parts: Vec<_> = parts.map(|part| Some(Box::pin(part))).collect();
    poll_fn(|cx| {
        for slot in &mut parts {
            if let Some(part) = slot
                && let Poll::Ready(verdict) = part.as_mut().poll(cx)
            {
                verdict?;
                *slot = None;
            }
        }
        if parts.iter().all(Option::is_none) {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    })
    .await
}

/// One role's hands and eyes.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    ledger: Rc<RefCell<Ledger>>,
    /// The name for which those must have a certificate who are dialled; `None` for no TLS.
    tls: Option<Arc<str>>,
}

impl Stage {
    pub(super) fn new(ledger: Rc<RefCell<Ledger>>) -> Self {
        Stage { ledger, tls: None }
    }

    /// The same role, but whoever is dialled must prove to be `name`.
    pub(super) fn protected(&self, name: &str) -> Self {
        Stage {
            ledger: Rc::clone(&self.ledger),
            tls: Some(name.into()),
        }
    }

    /// Waits until `look` finds something.
    async fn until<T>(&self, what: &str, mut look: impl FnMut(&mut Ledger) -> Option<T>) -> T {
        poll_fn(|_| {
            let mut ledger = self.ledger.borrow_mut();
            match look(&mut ledger) {
                Some(found) => Poll::Ready(found),
                None => {
                    ledger.awaiting.clear();
                    ledger.awaiting.push_str(what);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Lets time pass.
    pub(super) async fn pause(&self, duration: Duration) {
        let end = self.ledger.borrow().now + duration;
        self.until("a pause to end", |ledger| {
            if ledger.now >= end {
                return Some(());
            }
            ledger.wake = Some(ledger.wake.map_or(end, |wake| wake.min(end)));
            None
        })
        .await;
    }

    /// Waits until the other role has raised `flag`.
    pub(super) async fn flag(&self, env: &Env, flag: u32) {
        while !env.flags.is_up(flag) {
            self.pause(LOOK).await;
        }
    }

    // Connections.

    /// Starts to connect.
    pub(super) fn dial(&self, to: SocketAddr) -> ConnId {
        self.ledger.borrow_mut().connect(to, self.tls.clone())
    }

    /// Waits until a connection is made.
    pub(super) async fn connected(&self, conn: ConnId) -> Verdict {
        self.on(conn, "a connection to be made", |entry| match entry.ended {
            Some(reason) => Some(Err(Failure(format!("no connection: {reason:?}")))),
            None => entry.connected.then_some(Ok(())),
        })
        .await?
    }

    /// Connects.
    pub(super) async fn connect(&self, to: SocketAddr) -> Result<ConnId, Failure> {
        let conn = self.dial(to);
        self.connected(conn).await?;
        Ok(conn)
    }

    /// The next connection that comes in.
    pub(super) async fn accepted(&self) -> ConnId {
        self.until("somebody to connect", |ledger| ledger.accepted.pop_front())
            .await
    }

    /// From now on nobody is let in.
    pub(super) fn refuse_all(&self) {
        self.ledger.borrow_mut().refusing = true;
    }

    /// Waits until somebody was refused.
    pub(super) async fn refused_somebody(&self) {
        self.until("somebody to be refused", |ledger| {
            (ledger.refused > 0).then_some(())
        })
        .await;
    }

    /// Gives receive credit; the ledger remembers the highest.
    pub(super) fn credit(&self, conn: ConnId, until: u64) {
        let mut ledger = self.ledger.borrow_mut();
        if let Some(entry) = ledger.conns.get_mut(conn.0) {
            entry.until = entry.until.max(until);
        }
        ledger.ask(Output::Net(Net::Recv { conn, until }));
    }

    /// How many bytes have come in.
    pub(super) fn received(&self, conn: ConnId) -> u64 {
        let ledger = self.ledger.borrow();
        ledger.conns.get(conn.0).map_or(0, |entry| entry.received)
    }

    /// How many bytes have come in and been taken.
    fn taken(&self, conn: ConnId) -> u64 {
        let ledger = self.ledger.borrow();
        let taken = |entry: &Conn| entry.received - entry.inbox.len() as u64;
        ledger.conns.get(conn.0).map_or(0, taken)
    }

    /// Waits for bytes that were credited before and takes all there are.
    pub(super) async fn take_some(&self, conn: ConnId) -> Result<Vec<u8>, Failure> {
        self.on(conn, "bytes", |entry| {
            if !entry.inbox.is_empty() {
                return Some(Ok(core::mem::take(&mut entry.inbox)));
            }
            let reason = entry.ended?;
            let at = entry.received;
            Some(Err(Failure(format!("ended at byte {at}: {reason:?}"))))
        })
        .await?
    }

    /// Receives stream `seed` up to its byte `to`, never with more than `window` of credit ahead.
    pub(super) async fn receive(&self, conn: ConnId, seed: u64, to: u64, window: u64) -> Verdict {
        self.receive_after(conn, 0, seed, to, window).await
    }

    /// The same for a stream that begins after `before` other bytes.
    pub(super) async fn receive_after(
        &self,
        conn: ConnId,
        before: u64,
        seed: u64,
        to: u64,
        window: u64,
    ) -> Verdict {
        let mut at = self.taken(conn).saturating_sub(before);
        while at < to {
            self.credit(conn, before + (at + window).min(to));
            for byte in self.take_some(conn).await? {
                let due = pattern(seed, at);
                ensure(byte == due, || format!("byte {at} is {byte}, not {due}"))?;
                at += 1;
            }
        }
        Ok(())
    }

    /// Waits until a connection is made or has failed.
    pub(super) async fn connected_or_ended(&self, conn: ConnId) -> Verdict {
        self.on(conn, "a connection to be made or to fail", |entry| {
            (entry.connected || entry.ended.is_some()).then_some(())
        })
        .await
    }

    /// Takes what comes until the stream ends.
    pub(super) async fn ended_whatever_comes(&self, conn: ConnId) -> Verdict {
        while self.take_some(conn).await.is_ok() {
            let at = self.received(conn);
            self.credit(conn, at + (1 << 20));
        }
        self.ended(conn).await?;
        Ok(())
    }

    /// Waits for the end of the stream.
    pub(super) async fn ended(&self, conn: ConnId) -> Result<EndReason, Failure> {
        self.on(conn, "the connection to end", |entry| entry.ended)
            .await
    }

    /// Starts to send.
    pub(super) fn transmit(&self, conn: ConnId, transmission: Transmission) {
        let mut ledger = self.ledger.borrow_mut();
        if let Some(entry) = ledger.conns.get_mut(conn.0) {
            let shape = (transmission.len(), transmission.parts.len());
            entry.out.push_back(shape);
            entry.sending = true;
        }
        let net = Net::Transmit { conn, transmission };
        ledger.ask(Output::Net(net));
    }

    /// Whether the last transmission is handed to the network.
    pub(super) fn is_sent(&self, conn: ConnId) -> bool {
        let ledger = self.ledger.borrow();
        ledger.conns.get(conn.0).is_some_and(|entry| !entry.sending)
    }

    /// Waits until the last transmission is handed to the network.
    pub(super) async fn sent(&self, conn: ConnId) -> Verdict {
        self.on(conn, "the transmission to be sent", |entry| {
            (!entry.sending).then_some(())
        })
        .await
    }

    /// Waits until every transmission is home, sent or not.
    pub(super) async fn returned(&self, conn: ConnId) -> Verdict {
        self.on(conn, "the transmission to come home", |entry| {
            entry.out.is_empty().then_some(())
        })
        .await
    }

    /// Sends these bytes.
    pub(super) async fn send(&self, conn: ConnId, bytes: &[u8]) -> Verdict {
        let mut transmission = Transmission::default();
        transmission.push_head(|out| out.extend_from_slice(bytes));
        self.transmit(conn, transmission);
        self.sent(conn).await
    }

    /// Sends bytes `0..to` of stream `seed` in transmissions of `size`.
    pub(super) async fn send_stream(
        &self,
        conn: ConnId,
        seed: u64,
        to: u64,
        size: usize,
    ) -> Verdict {
        let mut at = 0;
        while at < to {
            let len = (size as u64).min(to - at);
            self.send(conn, &patterned(seed, at, len as usize)).await?;
            at += len;
        }
        Ok(())
    }

    /// Starts to close.
    pub(super) fn close(&self, conn: ConnId) {
        let mut ledger = self.ledger.borrow_mut();
        if let Some(entry) = ledger.conns.get_mut(conn.0) {
            entry.closing = true;
        }
        ledger.ask(Output::Net(Net::Close { conn }));
    }

    /// Closes and waits for the last word.
    pub(super) async fn closed(&self, conn: ConnId) {
        self.close(conn);
        self.until("the connection to be closed", |ledger| {
            ledger.conns.get(conn.0).is_none().then_some(())
        })
        .await;
    }

    async fn on<T>(
        &self,
        conn: ConnId,
        what: &str,
        mut look: impl FnMut(&mut Conn) -> Option<T>,
    ) -> Result<T, Failure> {
        let gone = || Failure(format!("{conn:?} is closed, not waiting for {what}"));
        self.until(what, |ledger| match ledger.conns.get_mut(conn.0) {
            Some(entry) => look(entry).map(Ok),
            None => Some(Err(gone())),
        })
        .await
    }

    // Disk, hashes, names.

    /// Starts an operation.
    pub(super) fn start(&self, make: impl FnOnce(OpId) -> Output) -> OpId {
        self.ledger.borrow_mut().operate(make)
    }

    /// Waits for the answer of an operation.
    pub(super) async fn answer(&self, op: OpId) -> Answer {
        self.until("an operation to complete", |ledger| ledger.take_answer(op))
            .await
    }

    /// The answer of an operation that must be over by now.
    pub(super) fn answer_at_once(&self, op: OpId) -> Result<Answer, Failure> {
        let answer = self.ledger.borrow_mut().take_answer(op);
        answer.ok_or_else(|| Failure(format!("{op:?} is still out")))
    }

    async fn disk(&self, make: impl FnOnce(OpId) -> Disk) -> Result<DiskDone, Failure> {
        let op = self.start(|op| Output::Disk(make(op)));
        match self.answer(op).await {
            Answer::Disk(done) => Ok(done),
            other => Err(unfit(&other)),
        }
    }

    /// Opens a storage; what is there.
    pub(super) async fn open(
        &self,
        storage: StorageId,
        root: &Arc<str>,
        layout: &Arc<Layout>,
        access: Access,
    ) -> Result<Result<Found, DiskError>, Failure> {
        self.open_as(storage, root, [7; 20], layout, access).await
    }

    /// The same for a torrent of another info-hash.
    pub(super) async fn open_as(
        &self,
        storage: StorageId,
        root: &Arc<str>,
        info_hash: [u8; 20],
        layout: &Arc<Layout>,
        access: Access,
    ) -> Result<Result<Found, DiskError>, Failure> {
        let (root, layout) = (Arc::clone(root), Arc::clone(layout));
        let done = self
            .disk(|op| Disk::Open {
                op,
                storage,
                root,
                info_hash,
                layout,
                access,
            })
            .await?;
        match done {
            DiskDone::Opened { result, .. } => Ok(result),
            other => Err(unfit(&other)),
        }
    }

    /// Writes bytes to spans.
    pub(super) async fn write(
        &self,
        storage: StorageId,
        bytes: &[u8],
        spans: Spans,
    ) -> Result<Result<(), DiskError>, Failure> {
        let slab = slab_of(bytes);
        let done = self
            .disk(|op| Disk::Write {
                op,
                storage,
                slab,
                spans,
            })
            .await?;
        match done {
            DiskDone::Written { slab, result, .. } if slab.as_slice() == bytes => Ok(result),
            other => Err(unfit(&other)),
        }
    }

    /// Reads the bytes of spans.
    pub(super) async fn read(
        &self,
        storage: StorageId,
        spans: Spans,
    ) -> Result<Result<Vec<u8>, DiskError>, Failure> {
        let len = spans.iter().map(|span| span.len as usize).sum();
        let mut slab = Slab::new(len);
        slab.set_len(len);
        slab.as_mut_slice().fill(0xaa);
        let done = self
            .disk(|op| Disk::Read {
                op,
                storage,
                slab,
                spans,
            })
            .await?;
        match done {
            DiskDone::Read { slab, result, .. } if slab.len() == len => {
                Ok(result.map(|()| slab.as_slice().to_vec()))
            }
            other => Err(unfit(&other)),
        }
    }

    /// Makes everything written durable.
    pub(super) async fn sync(
        &self,
        storage: StorageId,
    ) -> Result<Result<Vec<(FileIndex, Stamp)>, DiskError>, Failure> {
        match self.disk(|op| Disk::Sync { op, storage }).await? {
            DiskDone::Synced { result, .. } => Ok(result),
            other => Err(unfit(&other)),
        }
    }

    /// Gives a file its own name.
    pub(super) async fn finish(
        &self,
        storage: StorageId,
        file: u32,
    ) -> Result<Result<(), DiskError>, Failure> {
        let file = FileIndex(file);
        match self.disk(|op| Disk::Finish { op, storage, file }).await? {
            DiskDone::Finished { result, .. } => Ok(result),
            other => Err(unfit(&other)),
        }
    }

    /// Replaces the saved state.
    pub(super) async fn save(
        &self,
        storage: StorageId,
        state: Option<&[u8]>,
    ) -> Result<Result<(), DiskError>, Failure> {
        let state = state.map(<[u8]>::to_vec);
        match self.disk(|op| Disk::Save { op, storage, state }).await? {
            DiskDone::Saved { result, .. } => Ok(result),
            other => Err(unfit(&other)),
        }
    }

    /// Deletes the files of a storage.
    pub(super) async fn delete(
        &self,
        storage: StorageId,
    ) -> Result<Result<(), DiskError>, Failure> {
        match self.disk(|op| Disk::Delete { op, storage }).await? {
            DiskDone::Deleted { result, .. } => Ok(result),
            other => Err(unfit(&other)),
        }
    }

    /// Forgets a storage.
    pub(super) async fn close_storage(&self, storage: StorageId) -> Verdict {
        match self.disk(|op| Disk::Close { op, storage }).await? {
            DiskDone::Closed { .. } => Ok(()),
            other => Err(unfit(&other)),
        }
    }

    /// Closes the storage and opens it anew.
    pub(super) async fn reopen(
        &self,
        storage: StorageId,
        env: &Env,
        layout: &Arc<Layout>,
        access: Access,
    ) -> Result<Result<Found, DiskError>, Failure> {
        self.close_storage(storage).await?;
        self.open(storage, &env.root, layout, access).await
    }

    /// Resolves a name.
    pub(super) async fn resolve(
        &self,
        host: &str,
    ) -> Result<Result<Vec<IpAddr>, IoError>, Failure> {
        let host = host.to_string();
        let op = self.start(|op| Output::Resolve { op, host });
        match self.answer(op).await {
            Answer::Resolved(result) => Ok(result),
            other => Err(unfit(&other)),
        }
    }
}

/// A slab that holds `bytes`.
pub(super) fn slab_of(bytes: &[u8]) -> Slab {
    let mut slab = Slab::new(bytes.len());
    slab.set_len(bytes.len());
    slab.as_mut_slice().copy_from_slice(bytes);
    slab
}

/// An answer that says something else than was asked for, or brings other bytes home.
pub(super) fn unfit(answer: &dyn core::fmt::Debug) -> Failure {
    Failure(format!("{answer:?} does not fit what was asked for"))
}
