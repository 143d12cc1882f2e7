//! The bounded buffer between the two ends of a connection, one for each direction.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use crate::shaper::WINDOW;

/// Counts the bytes under way from one socket to another and those received and not yet read.
///
/// Invariant: `used <= WINDOW` until the reader is gone.
#[derive(Debug, Default)]
pub(super) struct Window {
    used: Cell<usize>,
    /// The reader is gone: nothing waits for it any more, the network says what became of it.
    abandoned: Cell<bool>,
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
        self.used.set(self.used.get() - bytes);
        self.wake();
    }

    /// The reader will take nothing more out.
    pub(super) fn abandon(&self) {
        self.abandoned.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.writer.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Where the two ends of a connection find the windows they share.
#[derive(Debug, Default)]
pub(super) struct Windows(RefCell<BTreeMap<(SocketAddr, SocketAddr), Weak<Window>>>);

impl Windows {
    /// The window of what `from` sends to `to`; made by whichever end asks first, gone with the
    /// last.
    pub(super) fn between(&self, from: SocketAddr, to: SocketAddr) -> Rc<Window> {
        let mut windows = self.0.borrow_mut();
        if let Some(window) = windows.get(&(from, to)).and_then(Weak::upgrade) {
            return window;
        }
        windows.retain(|_, window| window.strong_count() > 0);
        let window = Rc::new(Window::default());
        windows.insert((from, to), Rc::downgrade(&window));
        window
    }
}
