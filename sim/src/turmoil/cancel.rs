//! Stopping what is in flight so that its buffers come home.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// The two operations that one connection may have in flight.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lane {
    /// Connecting, then receiving.
    In = 0,
    /// Transmitting.
    Out = 1,
}

/// Set once, for all operations of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancel(Rc<State>);

#[derive(Debug, Default)]
struct State {
    set: Cell<bool>,
    waiting: [RefCell<Option<Waker>>; 2],
}

impl Cancel {
    /// Stops everything that runs under [`Cancel::unless`].
    pub(super) fn set(&self) {
        self.0.set.set(true);
        for waker in self.0.waiting.iter().filter_map(|lane| lane.take()) {
            waker.wake();
        }
    }

    /// Whether it was set.
    pub(super) fn is_set(&self) -> bool {
        self.0.set.get()
    }

    /// Runs `operation` to its end, or to the moment it is stopped: then `None`. The operation
    /// only borrows its buffers, so their owner has them back either way.
    pub(super) async fn unless<T>(
        &self,
        lane: Lane,
        operation: impl Future<Output = T>,
    ) -> Option<T> {
        let mut operation = pin!(operation);
        std::future::poll_fn(|context| {
            if self.is_set() {
                return Poll::Ready(None);
            }
            *self.0.waiting[lane as usize].borrow_mut() = Some(context.waker().clone());
            operation.as_mut().poll(context).map(Some)
        })
        .await
    }
}
