//! Floor 1: formats, one file each. Bytes in, values that cannot be wrong out, and back.

pub mod bencode;
pub mod fast;
pub mod handshake;
pub mod malformed;
pub mod message;

pub use malformed::Malformed;
