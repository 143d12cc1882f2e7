//! The backend over io_uring itself: one ring, one synchronous loop, no futures.

#![expect(dead_code, reason = "the loop and the network follow")]

mod buffers;
mod kernel;
mod ring;
#[cfg(test)]
mod scripted;
