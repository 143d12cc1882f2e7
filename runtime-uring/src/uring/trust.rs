//! Whom to believe, found out on a thread of its own when it is first needed: files may be slow.

use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::{io, thread};

use ripcurrent_proto::api::{EndReason, TlsError};

use crate::bell::Waker;
use crate::errno;
use crate::shield::Shield;
use crate::tls::{Believed, Roots};

/// See the documentation of the module.
pub(super) struct Trust {
    extra: Roots,
    waker: Waker,
    state: State,
}

enum State {
    Unknown,
    /// A thread reads the roots, and rings when it has.
    Reading(Receiver<Result<Believed, TlsError>>),
    /// Those who waited may begin. What failed is tried again by the next one.
    Read(Result<Believed, EndReason>),
}

/// The beginning of a conversation.
pub(super) enum Begun {
    /// It is there.
    Shield(Box<Shield>),
    /// It can never be.
    Never(EndReason),
    /// Ask again when [`Trust::is_read`].
    Later,
}

impl Trust {
    pub(super) fn new(extra: Roots, waker: Waker) -> Self {
        let state = State::Unknown;
        Trust {
            extra,
            waker,
            state,
        }
    }

    /// The beginning of a conversation with the server whose certificate is valid for `name`.
    pub(super) fn begin(&mut self, name: &str) -> Begun {
        if let State::Unknown = self.state {
            self.state = match self.read() {
                Ok(reading) => State::Reading(reading),
                Err(error) => return Begun::Never(EndReason::Failed(errno::io_error(&error))),
            };
        }
        match &self.state {
            State::Read(Ok(believed)) => match believed.begin(name) {
                Ok(session) => Begun::Shield(Box::new(Shield::new(session))),
                Err(error) => Begun::Never(EndReason::Tls(error)),
            },
            State::Read(Err(reason)) => Begun::Never(*reason),
            State::Unknown | State::Reading(_) => Begun::Later,
        }
    }

    /// Whether the roots were read since the last call: those who wait may begin now, and then
    /// [`has_begun`](Self::has_begun) is to be called.
    pub(super) fn is_read(&mut self) -> bool {
        let State::Reading(reading) = &self.state else {
            return false;
        };
        let read = match reading.try_recv() {
            Ok(read) => read.map_err(EndReason::Tls),
            Err(TryRecvError::Empty) => return false,
            // The thread has panicked.
            Err(TryRecvError::Disconnected) => {
                let lost = io::Error::other("the roots were not read");
                Err(EndReason::Failed(errno::io_error(&lost)))
            }
        };
        self.state = State::Read(read);
        true
    }

    /// All who waited have begun, or failed to.
    pub(super) fn has_begun(&mut self) {
        if let State::Read(Err(_)) = self.state {
            self.state = State::Unknown;
        }
    }

    fn read(&self) -> io::Result<Receiver<Result<Believed, TlsError>>> {
        let (done, reading) = sync_channel(1);
        let (extra, waker) = (self.extra.clone(), self.waker.clone());
        let thread = thread::Builder::new().name("ripcurrent-roots".into());
        thread.spawn(move || {
            // Rings also when it panics, and then after nothing can come any more.
            let _ring = OnDrop(waker);
            let done = done;
            // Nobody may be waiting any more.
            let _ = done.send(Believed::read(extra));
        })?;
        Ok(reading)
    }
}

/// Rings when it is dropped.
struct OnDrop(Waker);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.wake();
    }
}
