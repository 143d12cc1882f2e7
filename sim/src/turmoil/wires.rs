//! The connections as seen from outside their hosts: the bounded buffer between the two ends of
//! each, one for each direction, and the means to break it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use ripcurrent_proto::api::IoErrorKind;

use super::cancel::{Cancel, WeakCancel};
use crate::network::Ends;
use crate::shaper::WINDOW;

/// Counts the bytes under way from one socket to another and those received and not yet read.
///
/// Invariant: `used <= WINDOW` until the reader is gone.
#[derive(Debug, Default)]
pub(super) struct Window {
    used: Cell<usize>,
    /// The reader is gone: nothing waits for it any more, the network says what became of it.
    abandoned: Cell<bool>,
    /// Acknowledgements are kept back: what the reader takes out does not make room.
    silent: Cell<bool>,
    /// How many bytes they are for; part of `used`.
    unacknowledged: Cell<usize>,
    writer: RefCell<Option<Waker>>,
}

impl Window {
    /// Waits until `bytes` (at most [`WINDOW`]) fit, then counts them.
    pub(super) async fn take(&self, bytes: usize) {
        std::future::poll_fn(|context| {
            if self.used.get() + bytes > WINDOW && !self.abandoned.get() {
                *self.writer.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            self.used.set(self.used.get() + bytes);
            Poll::Ready(())
        })
        .await;
    }

    /// The reader has taken `bytes` out.
    pub(super) fn free(&self, bytes: usize) {
        if self.silent.get() {
            self.unacknowledged.set(self.unacknowledged.get() + bytes);
            return;
        }
        // Whoever sent and left before this end was there took the count along.
        self.used.set(self.used.get().saturating_sub(bytes));
        self.wake();
    }

    /// The reader will take nothing more out.
    pub(super) fn abandon(&self) {
        self.abandoned.set(true);
        self.wake();
    }

    /// Keeps acknowledgements back, or lets them through.
    fn set_silent(&self, silent: bool) {
        self.silent.set(silent);
        if !silent {
            self.free(self.unacknowledged.take());
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.writer.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Every connection of the network.
#[derive(Debug, Default)]
pub(super) struct Wires {
    /// Of what an end sends.
    windows: RefCell<Register<Weak<Window>>>,
    /// Of what an end has in flight.
    cancels: RefCell<Register<WeakCancel>>,
}

impl Wires {
    /// The window of what the first end sends to the other; made by whichever asks first, gone with
    /// the last.
    pub(super) fn window(&self, ends: Ends) -> Rc<Window> {
        let mut windows = self.windows.borrow_mut();
        if let Some(window) = windows.by_ends.get(&ends).and_then(Weak::upgrade) {
            return window;
        }
        let window = Rc::new(Window::default());
        let is_alive = |window: &Weak<Window>| window.strong_count() > 0;
        windows.enter(ends, Rc::downgrade(&window), is_alive);
        window
    }

    /// One end is there: `cancel` is what its operations run under.
    pub(super) fn enter(&self, ends: Ends, cancel: &Cancel) {
        let mut cancels = self.cancels.borrow_mut();
        cancels.enter(ends, cancel.downgrade(), WeakCancel::is_alive);
    }

    /// The connections of a host, in order.
    pub(super) fn of_host(&self, addr: IpAddr) -> Vec<Ends> {
        let cancels = self.cancels.borrow();
        let alive = cancels
            .by_ends
            .iter()
            .filter(|(ends, cancel)| ends.here.ip() == addr && cancel.is_alive());
        alive.map(|(&ends, _)| ends).collect()
    }

    /// Ends a connection at both ends.
    pub(super) fn sever(&self, connection: Ends, kind: IoErrorKind) {
        let cancels = self.cancels.borrow();
        for ends in [connection, connection.reversed()] {
            if let Some(cancel) = cancels.by_ends.get(&ends) {
                cancel.sever(kind);
            }
        }
    }

    /// Keeps back, or lets through, the acknowledgements that `from` sends to `to`.
    pub(super) fn set_silent(&self, from: IpAddr, to: IpAddr, silent: bool) {
        let windows = self.windows.borrow();
        for (ends, window) in &windows.by_ends {
            if (ends.here.ip(), ends.there.ip()) == (to, from)
                && let Some(window) = window.upgrade()
            {
                window.set_silent(silent);
            }
        }
    }
}

/// Something of each end, for as long as somebody else keeps it alive.
#[derive(Debug)]
struct Register<W> {
    by_ends: BTreeMap<Ends, W>,
    /// How many make it worth while to look for the dead.
    sweep_at: usize,
}

impl<W> Default for Register<W> {
    fn default() -> Self {
        Register {
            by_ends: BTreeMap::new(),
            sweep_at: 64,
        }
    }
}

impl<W> Register<W> {
    fn enter(&mut self, ends: Ends, entry: W, is_alive: impl Fn(&W) -> bool) {
        if self.by_ends.len() >= self.sweep_at {
            self.by_ends.retain(|_, entry| is_alive(entry));
            self.sweep_at = 64.max(2 * self.by_ends.len());
        }
        self.by_ends.insert(ends, entry);
    }
}
