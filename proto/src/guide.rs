//! A guide: writing a host, from one turn of the loop to a program that downloads a torrent.
//!
//! Whoever embeds the engine on Linux takes `ripcurrent-runtime-uring`, which is a host already. This
//! is for other worlds: another system, another runtime, a simulation, a test. The chapters build on
//! each other; their code is compiled and run with the tests.
//!
//! 1. [The loop](the_loop): what a host does, by hand, for a torrent of one piece.
//! 2. [Connections](connections): their life, credit, and the network of our host.
//! 3. [Buffers](buffers): whose they are, and when they come home.
//! 4. [Storage](storage): names, what is durable, what is remembered, and the disk of our host.
//! 5. [Failure](failure): which output may fail how, and what the engine does about it.
//! 6. [Budgets](budgets): how much memory, how many connections, how fast.
//! 7. [Time and chance](time_and_chance): whose they are, and why a run repeats.
//! 8. [Leaving](leaving): the end in good order.
//! 9. [A whole host](whole_host): all of it together; it downloads, stops, goes on and completes.
//!
//! The host of the guide is also the example `host`, and passes the suite for backends but for what it
//! leaves out: TLS, name lookups, selections of files, links, and the lock on a torrent's state against
//! other processes.

#[doc = include_str!("guide/the_loop.md")]
pub mod the_loop {}

#[doc = include_str!("guide/connections.md")]
///
/// # The network of our host
///
/// Dialling may take long, so each attempt has a thread; sockets are looked at in turn. A program for
/// many peers would wait for all of them at once instead, with epoll or a ring.
///
/// ```
/// # fn main() {}
#[doc = include_str!("../examples/host/net.rs")]
/// ```
pub mod connections {}

#[doc = include_str!("guide/buffers.md")]
pub mod buffers {}

#[doc = include_str!("guide/storage.md")]
///
/// # The disk of our host
///
/// One thread does one thing after the other, so what must not overlap does not. More threads are
/// faster, and must keep the two rules above by themselves.
///
/// ```
/// # fn main() {}
#[doc = include_str!("../examples/host/disk.rs")]
/// ```
pub mod storage {}

#[doc = include_str!("guide/failure.md")]
pub mod failure {}

#[doc = include_str!("guide/budgets.md")]
pub mod budgets {}

#[doc = include_str!("guide/time_and_chance.md")]
pub mod time_and_chance {}

#[doc = include_str!("guide/leaving.md")]
pub mod leaving {}

/// All of it together: a host that downloads, stops, goes on and completes.
///
/// `net` and `disk` are the files of the chapters on [connections] and
/// [storage]. What is left is a clock, a thread for what takes its time, and
/// [`Backend`](crate::drive::Backend), which leaves the loop itself to
/// [`turn`](crate::drive::turn):
///
/// ```
/// # mod net { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/host/net.rs")); }
/// # mod disk { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/host/disk.rs")); }
/// # mod host {
#[doc = include_str!("../examples/host/host.rs")]
/// # }
/// # fn main() {}
/// ```
#[doc = include_str!("guide/whole_host.md")]
pub mod whole_host {}
