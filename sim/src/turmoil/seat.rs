//! Who runs on a host. Orders are given from outside, between two ticks, and carried out by the
//! host itself before anything else in its next: sockets can only be closed from within.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use ripcurrent_proto::drive::Turn;

use super::Turmoil;
use crate::network::Stop;

/// A turn of a machine of any kind, and of who watches it.
pub(super) type Process = Box<dyn FnMut(&mut Turmoil) -> Turn>;

/// What a host is to do.
pub(super) enum Order {
    Start(Process),
    Stop(Stop),
    /// Take a turn.
    Wake,
}

/// The orders to one host.
#[derive(Default)]
pub(super) struct Seat {
    orders: RefCell<VecDeque<Order>>,
    host: RefCell<Option<Waker>>,
    /// What the last order makes of it.
    is_taken: Cell<bool>,
}

impl Seat {
    /// Starts a process.
    ///
    /// # Panics
    /// If one is running.
    pub(super) fn start(&self, process: Process) {
        let was_taken = self.is_taken.replace(true);
        assert!(!was_taken, "a host that is up cannot be started");
        self.order(Order::Start(process));
    }

    /// Stops the process, if there is one.
    pub(super) fn stop(&self, how: Stop) {
        if self.is_taken.replace(false) {
            self.order(Order::Stop(how));
        }
    }

    /// Gives the process a turn, if there is one.
    pub(super) fn wake(&self) {
        if self.is_taken.get() {
            self.order(Order::Wake);
        }
    }

    /// The next order.
    pub(super) fn take(&self) -> Option<Order> {
        self.orders.borrow_mut().pop_front()
    }

    /// Whether there is an order; wakes the host when there is one later.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        if !self.orders.borrow().is_empty() {
            return Poll::Ready(());
        }
        *self.host.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    fn order(&self, order: Order) {
        self.orders.borrow_mut().push_back(order);
        if let Some(waker) = self.host.borrow_mut().take() {
            waker.wake();
        }
    }
}
