//! Carries out the intents of `ripcurrent-proto` on Linux: sockets through io_uring, or through epoll
//! where that is forbidden; files, hashes and names on threads beside the loop.
//!
//! A [`Host`] owns the loop. It drives a [`Machine`](ripcurrent_proto::drive::Machine) (the engine,
//! or the engine under a [`Tap`](ripcurrent_proto::drive::Tap)) on the calling thread until told to
//! stop:
//!
//! - Before every turn it calls `control` with the machine: there commands go in, events and
//!   figures come out, and the end is decided. After anything has happened there is another turn,
//!   so no event waits for the next deadline.
//! - Between turns it waits for the network, the threads, the machine's timeout, the instant that
//!   `control` named, or a [`Waker`].
//! - After [`Control::Stop`] it shuts every socket down, waits until all operations are home, and
//!   finishes the writes that were begun. For an orderly end, give the machine its command to shut
//!   down first and stop when it says so.
//!
//! [`Options::backend`] chooses what speaks to the network. Left to itself ([`Choice::Auto`]) a host
//! takes the best that the system allows, and [`Host::backend`] tells what that is and why a better
//! one was refused:
//!
//! | backend | needs | for |
//! |---|---|---|
//! | [`Uring`](BackendName::Uring) | Linux 6.1, and leave to use io_uring | machines of one's own: the fastest |
//! | [`TokioUring`](BackendName::TokioUring) | Linux 5.11, and leave to use io_uring | the same, with an older kernel |
//! | [`Epoll`](BackendName::Epoll) | nothing | containers with the usual profile, old kernels, `kernel.io_uring_disabled` |
//!
//! All pass the same suite (`ripcurrent_proto::conformance`) and share the threads beside the loop.
//! The first is a loop of its own: it enters the kernel once a turn, hears of everything in one
//! queue, and receives into a few large buffers that all connections share (4 MiB, however many
//! there are) instead of some for each. The others are one loop of futures over the sockets of two
//! crates, `tokio-uring` and `tokio`.
//!
//! Every connection and open file takes one of the descriptors that the process may have.
//! [`Descriptors`] raises that limit and says how many connections fit, a bound for the engine's
//! `max_connections`; a listener that finds none left rests for a moment between its attempts.
//!
//! Over the futures, writing to a connection that the far end has closed raises `SIGPIPE`, which
//! programs in Rust ignore; a host inside another language's program must ignore it too.
//!
//! ```
//! use std::net::Ipv4Addr;
//! use std::sync::mpsc;
//!
//! use ripcurrent_proto::api::{Command, Input};
//! use ripcurrent_proto::drive::Machine;
//! use ripcurrent_runtime_uring::{Control, Host, HostError, Listen, Options};
//!
//! /// Runs `machine`; commands come through a channel, whose senders also wake the host.
//! fn run(machine: &mut impl Machine, commands: mpsc::Receiver<Command>) -> Result<(), HostError> {
//!     let mut host = Host::new(Options {
//!         bind: Ipv4Addr::LOCALHOST.into(),
//!         listen: Listen::Port(0),
//!         loopback_only: true,
//!         ..Options::default()
//!     })?;
//!     let _for_senders = host.waker();
//!     host.run(machine, |machine, now| {
//!         loop {
//!             match commands.try_recv() {
//!                 Ok(command) => machine.handle(now, Input::Command(command)),
//!                 Err(mpsc::TryRecvError::Empty) => return Control::Wait(None),
//!                 Err(mpsc::TryRecvError::Disconnected) => return Control::Stop,
//!             }
//!         }
//!     })
//! }
//! # struct Idle;
//! # impl Machine for Idle {
//! #     fn accept(
//! #         &mut self,
//! #         _: ripcurrent_proto::base::time::Instant,
//! #         _: std::net::SocketAddr,
//! #     ) -> Option<ripcurrent_proto::base::id::ConnId> { None }
//! #     fn handle(&mut self, _: ripcurrent_proto::base::time::Instant, _: Input<'_>) {}
//! #     fn handle_timeout(&mut self, _: ripcurrent_proto::base::time::Instant) {}
//! #     fn poll_output(
//! #         &mut self,
//! #         _: ripcurrent_proto::base::time::Instant,
//! #     ) -> Option<ripcurrent_proto::api::Output> { None }
//! #     fn poll_timeout(&self) -> Option<ripcurrent_proto::base::time::Instant> { None }
//! # }
//! # let (sender, receiver) = mpsc::channel();
//! # sender.send(Command::ShutDown).unwrap();
//! # drop(sender);
//! # run(&mut Idle, receiver).unwrap();
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!("io_uring and epoll are parts of Linux; other systems need another host");

mod arena;
mod bell;
mod carrier;
mod choice;
mod clock;
mod conns;
mod cursor;
mod descriptors;
mod disk;
mod doors;
mod epoll;
mod errno;
pub mod hash;
mod host;
mod options;
mod pool;
mod protected;
mod release;
mod resolve;
mod shield;
mod tls;
mod tokio_uring;
mod uring;
mod work;

pub use arena::Arena;
pub use bell::Waker;
pub use choice::{BackendName, Choice, Chosen};
pub use descriptors::Descriptors;
pub use host::{Control, Host};
pub use options::{HostError, Listen, Options};
pub use tls::{BadRoots, Roots};

use clock::Clock;
