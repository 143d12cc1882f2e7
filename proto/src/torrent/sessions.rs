//! The peers of a torrent, by their connections.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::base::id::ConnId;
use crate::peer::Peer;
use crate::picker::Counted;
use crate::store::assembly::Writer;
use crate::wire::message::Decoder;

/// A peer and what the torrent keeps of it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: Peer<Writer>,
    /// `None` while a frame of it is being handled, and after an error.
    pub(super) decoder: Option<Decoder>,
    /// How the picker counts its pieces; `None` until it has told of them.
    pub(super) counted: Option<Counted>,
}

/// Sessions in the order of their connections.
///
/// Invariant: the places are sorted, and a place is empty only while its session is out: see
/// [`Torrent::with_session`](super::Torrent::with_session).
#[derive(Debug, Default)]
pub(super) struct Sessions(Vec<Place>);

/// A connection and its session, unless that is out.
pub(super) type Place = (ConnId, Option<Box<Session>>);

impl Sessions {
    /// How many peers there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&Session> {
        let at = self.find(conn).ok()?;
        self.0[at].1.as_deref()
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        let at = self.find(conn).ok()?;
        self.0[at].1.as_deref_mut()
    }

    /// Adds the session of a connection that has none.
    pub(super) fn insert(&mut self, conn: ConnId, session: Session) {
        let at = self.find(conn).expect_err("a connection is adopted once");
        self.0.insert(at, (conn, Some(Box::new(session))));
    }

    /// A session that is over; none while it is out.
    pub(super) fn remove(&mut self, conn: ConnId) -> Option<Box<Session>> {
        let at = self.find(conn).ok()?;
        self.0[at].1.is_some().then(|| self.0.remove(at).1)?
    }

    /// Takes a session out, and tells its place.
    pub(super) fn take(&mut self, conn: ConnId) -> Option<(usize, Box<Session>)> {
        let at = self.find(conn).ok()?;
        let session = self.0[at].1.take()?;
        Some((at, session))
    }

    /// Puts a session back that was taken out of `at`; others may have come or gone since.
    pub(super) fn put_back(&mut self, at: usize, conn: ConnId, session: Box<Session>) {
        let is_there = self.0.get(at).is_some_and(|(other, _)| *other == conn);
        let at = match is_there {
            true => at,
            false => self
                .find(conn)
                .expect("a session that is out keeps its place"),
        };
        self.0[at].1 = Some(session);
    }

    /// All sessions that are not out, with their connections.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &Session)> {
        let places = self.0.iter();
        places.filter_map(|(conn, session)| Some((*conn, session.as_deref()?)))
    }

    /// The connections of all sessions.
    pub(super) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.0.iter().map(|(conn, _)| *conn)
    }

    fn find(&self, conn: ConnId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&conn, |(conn, _)| *conn)
    }
}
