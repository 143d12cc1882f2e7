//! Stopping what is in flight so that its buffers come home.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use ripcurrent_proto::api::IoErrorKind;

/// The two operations that one connection may have in flight.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lane {
    /// Connecting, then receiving.
    In = 0,
    /// Transmitting.
    Out = 1,
}

/// For all operations of one end of a connection: closed by its machine, or severed from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancel(Rc<State>);

/// The same, seen by somebody who does not keep the connection alive.
#[derive(Clone, Debug)]
pub(super) struct WeakCancel(Weak<State>);

#[derive(Debug, Default)]
struct State {
    closed: Cell<bool>,
    severed: Cell<Option<IoErrorKind>>,
    waiting: [RefCell<Option<Waker>>; 2],
}

impl State {
    fn wake(&self) {
        for waker in self.waiting.iter().filter_map(|lane| lane.take()) {
            waker.wake();
        }
    }
}

impl Cancel {
    /// Stops everything that runs under [`Cancel::unless`].
    pub(super) fn close(&self) {
        self.0.closed.set(true);
        self.0.wake();
    }

    /// Whether it was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    pub(super) fn downgrade(&self) -> WeakCancel {
        WeakCancel(Rc::downgrade(&self.0))
    }

    /// Runs `operation` to its end, or to the moment the connection is closed: then `None`; or
    /// severed: then that error. The operation only borrows its buffers, so their owner has them
    /// back in any case.
    pub(super) async fn unless<T>(
        &self,
        lane: Lane,
        operation: impl Future<Output = io::Result<T>>,
    ) -> Option<io::Result<T>> {
        let mut operation = pin!(operation);
        std::future::poll_fn(|context| {
            if self.is_closed() {
                return Poll::Ready(None);
            }
            if let Some(kind) = self.0.severed.get() {
                return Poll::Ready(Some(Err(error(kind))));
            }
            let mut waiting = self.0.waiting[lane as usize].borrow_mut();
            match &mut *waiting {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            drop(waiting);
            operation.as_mut().poll(context).map(Some)
        })
        .await
    }
}

impl WeakCancel {
    /// Fails what runs under [`Cancel::unless`] and everything that will.
    pub(super) fn sever(&self, kind: IoErrorKind) {
        if let Some(state) = self.0.upgrade() {
            state.severed.set(Some(kind));
            state.wake();
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

fn error(kind: IoErrorKind) -> io::Error {
    let kind = match kind {
        IoErrorKind::TimedOut => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::ConnectionReset,
    };
    kind.into()
}
