//! BitTorrent as a pure state machine.
//!
//! This crate never touches a socket, a file, a clock or a thread. It is told what happened
//! ([`Input`]) and answers with what should be done ([`Output`]); a *host* carries that out.
//! `ripcurrent-runtime-uring` does so on Linux, `ripcurrent-sim` in a simulated world, and
//! `examples/blocking.rs` on the standard library alone, to be read.
//!
//! # The loop
//!
//! An [`Engine`] speaks in four kinds of methods, as all machines here do:
//!
//! - [`accept`](engine::Engine::accept), [`handle`](engine::Engine::handle) and
//!   [`handle_timeout`](engine::Engine::handle_timeout) take the world in. They do bounded work, never wait
//!   and cannot fail: what is wrong in the world is the engine's to remedy.
//! - [`poll_output`](engine::Engine::poll_output), [`poll_timeout`](engine::Engine::poll_timeout) and
//!   [`poll_event`](engine::Engine::poll_event) give out what to do, when to come back, and what to tell
//!   people.
//! - A [`Command`] is what somebody wants; it comes in through `handle` like everything else.
//! - Nouns, like [`stats`](engine::Engine::stats), are getters: they change nothing that matters.
//!
//! A host turns in a loop:
//!
//! 1. If the instant of `poll_timeout` has come, call `handle_timeout`. Too late does no harm but
//!    delay; too early or twice does nothing.
//! 2. Hand over what has happened, each thing once, in the order in which it happened on each
//!    connection: `accept` for a connection made to us (`None`: close it without a word), `handle`
//!    for all else. At most some hundred at a time, so that nobody starves.
//! 3. Call `poll_output` until there is `None` and start carrying out each output. Nothing may be
//!    left in the engine when the host waits: what is not polled does not happen.
//! 4. Tell people what `poll_event` says. This may be left out: at most 1,024 events are kept and
//!    the oldest are dropped.
//!
//!    What happens in more detail is traced with [`tracing`], at `debug`, in spans `torrent` and
//!    `peer`; it costs next to nothing while nobody listens, and nothing depends on it.
//! 5. If nothing happened, wait for the world or for `poll_timeout`, which may have moved.
//!
//! [`drive::turn`] is steps 1 to 3 and 5 but for the waiting, written once; a host implements
//! [`drive::Backend`] and waits in its own way. Any method may be called at any time between two
//! others, but not from within `carry`: a backend that knows the answer at once keeps it for its
//! next `reap`.
//!
//! The [`guide`] walks through writing a host, from one turn by hand to a whole program.
//!
//! # Time
//!
//! The engine has no clock; every call brings `now`, an [`Instant`](base::time::Instant) in
//! microseconds since an origin of the host's choice. It must not go back from one call to the
//! next, and may stand still as long as the host likes. Nothing is due before `poll_timeout` says.
//!
//! # Buffers
//!
//! A buffer belongs to one side at a time, and moves with the value that carries it:
//!
//! - `Read`, `Write` and `Hash` take a [`Slab`](base::slab::Slab); the completion brings the same
//!   slab back, also when the operation failed. Every operation completes exactly once, in any
//!   order; one that completes twice or was never asked for is a fault of the host, and panics. What is
//!   read to be sent may be [lent](base::slab::Slab::lend) instead: a host that can send bytes from
//!   where they lie, such as a page cache, fills the slab with whatever finds them again.
//! - `Transmit` takes a [`Transmission`](api::Transmission), of which
//!   [`bytes`](api::Transmission::bytes) gives each part. At most one is in flight on a connection.
//!   [`Returned`](api::Input::Returned) brings it back, once and always; [`Sent`](api::Input::Sent) says that
//!   the network has taken all of it. A host that copies may say both at once.
//! - `Received` only lends its bytes: when `handle` returns, the buffer is the host's again. One
//!   buffer for all connections will do.
//!
//! # Receive credit
//!
//! [`Recv`](api::Net::Recv) gives leave to receive up to `until`, an offset from the beginning of the
//! stream: it grows, and saying it twice changes nothing. Without credit a host reads nothing, so
//! that TCP holds the far end back. A receive that was under way may bring more than that, by one
//! buffer; what a host has received it hands over, never keeps. Credit serves rate limits and
//! floods (a peer that does not read our answers gets none); memory is guarded earlier, where
//! blocks are asked for.
//!
//! # The life of a connection
//!
//! 1. It begins with [`Connect`](api::Net::Connect), answered by [`Connected`](api::Input::Connected) or
//!    [`Ended`](api::Input::Ended), or with `accept`, and is then connected.
//! 2. [`Ended`](api::Input::Ended) says that nothing more will be received. It closes nothing.
//! 3. Only the engine closes: [`Close`](api::Net::Close), which may come at any time, also while
//!    connecting. The host cancels what is in flight and gives a transmission back.
//! 4. [`Closed`](api::Input::Closed) is the last word, once, when every buffer is home. Only then is the
//!    id's slot used again, in a new generation, so no late word is taken for a newcomer's.
//!
//! A torrent ends in good order too, after [`Command::Remove`] or [`Command::ShutDown`]: peers are
//! left; what came of incomplete pieces is written, everything is synced, the state is saved and the
//! storage closed; meanwhile trackers are told, for five seconds at most; and when all operations
//! and connections are over, [`Event::Removed`] says so. [`Event::ShutDown`] follows the last. A
//! host that stops turning before loses what was in memory, and has what was written since the last
//! state hashed at the next start.
//!
//! # What may fail
//!
//! `handle` never fails; what goes wrong in the world is an input like every other.
//! [`guide::failure`] tells for each output how it may fail and what the engine does then. What
//! outlives the process, whenever it ends, stands in [`guide::storage`].
//!
//! Blame is in the type: [`peer::Violation`] and [`wire::Malformed`] are a peer's fault, [`IoError`]
//! the world's, [`ConfigError`] and [`api::Refusal`] the user's. A panic is ours or the host's.
//!
//! # Memory
//!
//! Everything has a bound. Pieces live in slabs that come out of one budget
//! ([`Config::memory_budget`]): a slab is reserved before the first request for its piece goes out,
//! a quarter is kept for what is read to be sent, and without a slab nothing new is asked for. Pieces
//! that were just written stay in their slabs for peers who may ask for them, until somebody needs the
//! memory. What
//! is not a slab is bounded by counts: of connections, of peers and what each may have us keep, of
//! addresses, bans and events. [`Config::memory_ceiling`] adds all of it up, term by term, for given
//! torrents; a host adds its own receive buffers. [`Engine::slab_bytes`] tells how much of the
//! budget is lent out now.
//!
//! # Chance and order
//!
//! All chance comes from the seed, forked for each purpose by name, so that a new draw here shifts
//! none there. No hash map is ever iterated, no address is looked at, no fraction is computed in
//! floating point. So the outputs are a function of the seed and of the calls with their instants:
//! a host whose every call is [`drive::Tap`]ped has a digest, and the same seed in the same world
//! gives the same digest, in debug and release, on every machine. An engine is one value without a
//! thread or a lock in it: two of them never meet, and one can be moved to any thread.
//!
//! # The house
//!
//! Rooms stand on floors and import from lower ones only; values come up. A test keeps that.
//!
//! | floor | rooms |
//! |---|---|
//! | 0 | [`base`]: time, chance, identity, memory |
//! | 1 | [`wire`]: formats; [`meta`]: torrents; [`api`]: the vocabulary |
//! | 2 | machines: [`peer`], [`picker`], [`choke`], [`store`], [`tracker`], [`swarm`] |
//! | 3 | `torrent`: one torrent, which composes machines |
//! | 4 | [`engine`]: all torrents and connections of a process |
//! | 5 | [`drive`]: the turn of the loop, and the tap |
//!
//! [`Input`]: api::Input
//! [`Output`]: api::Output
//! [`Command`]: api::Command
//! [`Command::Remove`]: api::Command::Remove
//! [`Command::ShutDown`]: api::Command::ShutDown
//! [`Config::memory_budget`]: api::Config::memory_budget
//! [`Config::memory_ceiling`]: api::Config::memory_ceiling
//! [`ConfigError`]: api::ConfigError
//! [`Engine`]: engine::Engine
//! [`Engine::slab_bytes`]: engine::Engine::slab_bytes
//! [`Event::Removed`]: api::Event::Removed
//! [`Event::ShutDown`]: api::Event::ShutDown
//! [`IoError`]: api::IoError

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod api;
pub mod base;
pub mod choke;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod drive;
pub mod engine;
pub mod guide;
pub mod meta;
pub mod peer;
pub mod picker;
pub mod store;
pub mod swarm;
mod torrent;
pub mod tracker;
pub mod wire;
