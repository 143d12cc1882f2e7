//! A scene as a machine: each answer of the backend moves the scene on as far as it goes.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::net::SocketAddr;
use core::task::{Context, Poll, Waker};

use super::ledger::Ledger;
use super::{Env, Failure, PATIENCE, Play, Scene, Stage};
use crate::api::{Input, Net, Output};
use crate::base::id::ConnId;
use crate::base::time::Instant;
use crate::drive::Machine;

/// One role of a case, to be driven by a host like any other machine.
pub struct Script {
    role: &'static str,
    ledger: Rc<RefCell<Ledger>>,
    scene: Option<Scene>,
    deadline: Option<Instant>,
    outcome: Option<Result<(), Failure>>,
}

impl Script {
    pub(super) fn new(role: &'static str, env: &Env, play: Play) -> Self {
        let ledger = Rc::new(RefCell::new(Ledger {
            receive_slack: env.receive_slack,
            ..Ledger::default()
        }));
        let stage = Stage::new(Rc::clone(&ledger));
        Script {
            role,
            ledger,
            scene: Some(play(env.clone(), stage)),
            deadline: None,
            outcome: None,
        }
    }

    /// How it went, once it is over: everything this role has asked for is answered and at home, or
    /// the contract was broken.
    #[must_use]
    pub fn outcome(&self) -> Option<&Result<(), Failure>> {
        self.outcome.as_ref()
    }

    /// Moves the scene on as far as it goes at `now`.
    fn advance(&mut self, now: Instant) {
        self.deadline.get_or_insert(now + PATIENCE);
        self.ledger.borrow_mut().now = now;
        loop {
            let before = self.ledger.borrow().changes;
            self.ledger.borrow_mut().wake = None;
            self.play_on();
            if self.outcome.is_some() || self.ledger.borrow().changes == before {
                return;
            }
        }
    }

    fn play_on(&mut self) {
        let breach = self.ledger.borrow_mut().breach.take();
        if let Some(breach) = breach {
            return self.fail(breach);
        }
        if let Some(scene) = self.scene.as_mut() {
            let polled = scene.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            match polled {
                Poll::Pending => return,
                Poll::Ready(Err(failure)) => return self.fail(failure),
                Poll::Ready(Ok(())) => self.leave(),
            }
        }
        if self.outcome.is_none() && self.ledger.borrow().all_home() {
            self.outcome = Some(Ok(()));
        }
    }

    /// The scene is over: everything that is open is closed, and then all must come home.
    fn leave(&mut self) {
        self.scene = None;
        let mut ledger = self.ledger.borrow_mut();
        ledger.refusing = true;
        let conns = ledger.conns.iter();
        let open = conns.filter(|(_, conn)| !conn.closing);
        let leaving: Vec<_> = open.map(|(id, _)| ConnId(id)).collect();
        for conn in leaving {
            if let Some(entry) = ledger.conns.get_mut(conn.0) {
                entry.closing = true;
            }
            ledger.ask(Output::Net(Net::Close { conn }));
        }
    }

    fn fail(&mut self, failure: Failure) {
        let role = self.role;
        let at = self.ledger.borrow().awaiting.clone();
        let reason = format!("{role}: {failure} (it was waiting for {at})");
        self.scene = None;
        self.outcome.get_or_insert(Err(Failure(reason)));
    }

    fn waited_in_vain(&self) -> String {
        let ledger = self.ledger.borrow();
        if self.scene.is_some() {
            format!("waited in vain, with {} out", ledger.still_out())
        } else {
            format!("never came home: {}", ledger.still_out())
        }
    }
}

impl Machine for Script {
    fn accept(&mut self, now: Instant, _from: SocketAddr) -> Option<ConnId> {
        let conn = self.ledger.borrow_mut().accept();
        self.advance(now);
        conn
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.ledger.borrow_mut().observe(input);
        self.advance(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        if self.outcome.is_none() && self.deadline.is_some_and(|deadline| deadline <= now) {
            let reason = self.waited_in_vain();
            self.fail(Failure(reason));
        }
    }

    fn poll_output(&mut self, now: Instant) -> Option<Output> {
        if self.deadline.is_none() {
            self.advance(now);
        }
        self.ledger.borrow_mut().next_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.outcome.is_some() {
            return None;
        }
        match (self.ledger.borrow().wake, self.deadline) {
            (Some(wake), Some(deadline)) => Some(wake.min(deadline)),
            (wake, deadline) => wake.or(deadline),
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Script");
        all.field("role", &self.role)
            .field("outcome", &self.outcome);
        all.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{EndReason, Transmission};
    use crate::conformance::{Flags, cases};

    const NOW: Instant = Instant::ZERO;

    /// The dialling script of a case, and the connection it has asked for.
    fn dialler(name: &str) -> (Script, ConnId) {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
        let env = Env {
            listener: nobody,
            refusing: nobody,
            silent: None,
            receive_slack: 0,
            root: "".into(),
            locked_root: None,
            files: None,
            known_name: None,
            unknown_name: None,
            protected: None,
            flags: Flags::default(),
        };
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        let mut script = case.dialler(&env);
        match script.poll_output(NOW) {
            Some(Output::Net(Net::Connect { conn, .. })) => (script, conn),
            other => panic!("{other:?}"),
        }
    }

    /// A script that is answered by the contract passes.
    #[test]
    fn a_faithful_backend_passes() {
        let (mut script, conn) = dialler("connection_refused");
        let kind = crate::api::IoErrorKind::Refused;
        let reason = EndReason::Failed(crate::api::IoError { kind, code: 0 });
        script.handle(NOW, Input::Ended { conn, reason });
        assert!(matches!(
            script.poll_output(NOW),
            Some(Output::Net(Net::Close { .. }))
        ));
        script.handle(NOW, Input::Closed { conn });
        assert_eq!(script.outcome(), Some(&Ok(())));
    }

    /// Each breach of the contract fails the script, whatever its scene is about.
    #[test]
    fn a_backend_that_breaks_the_contract_fails() {
        type Breach = fn(&mut Script, ConnId);
        let breaches: [(&str, Breach); 7] = [
            ("Closed unasked", |script, conn| {
                script.handle(NOW, Input::Closed { conn })
            }),
            ("connected twice", |script, conn| {
                script.handle(NOW, Input::Connected { conn });
                script.handle(NOW, Input::Connected { conn });
            }),
            ("data before the connection", |script, conn| {
                let data = &mut [1][..];
                script.handle(NOW, Input::Received { conn, data });
            }),
            ("data beyond the credit", |script, conn| {
                script.handle(NOW, Input::Connected { conn });
                let data = &mut [1; 5001][..];
                script.handle(NOW, Input::Received { conn, data });
            }),
            ("ended twice", |script, conn| {
                script.handle(NOW, Input::Connected { conn });
                let reason = EndReason::Eof;
                script.handle(NOW, Input::Ended { conn, reason });
                script.handle(NOW, Input::Ended { conn, reason });
            }),
            ("another transmission comes home", |script, conn| {
                script.handle(NOW, Input::Connected { conn });
                let transmission = Transmission::default();
                script.handle(NOW, Input::Returned { conn, transmission });
            }),
            ("an id nobody gave out", |script, _| {
                let conn = ConnId(crate::base::id::Id::from_parts(7, 7));
                script.handle(NOW, Input::Connected { conn });
            }),
        ];
        for (name, breach) in breaches {
            let (mut script, conn) = dialler("echo_in_tiny_transmissions");
            breach(&mut script, conn);
            assert!(matches!(script.outcome(), Some(Err(_))), "{name}");
        }
    }

    /// Waiting in vain fails, and says for what.
    #[test]
    fn silence_fails_in_the_end() {
        let (mut script, _) = dialler("connection_refused");
        let deadline = script.poll_timeout().unwrap();
        assert_eq!(deadline, NOW + PATIENCE);
        script.handle_timeout(deadline);
        let outcome = script.outcome().unwrap().clone().unwrap_err();
        assert!(outcome.0.contains("the connection to end"), "{outcome}");
    }
}
