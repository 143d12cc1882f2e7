//! Floor 1: formats, one file each. Bytes in, values that cannot be wrong out, and back.

pub mod bencode;
pub mod extended;
pub mod fast;
pub mod handshake;
pub mod http;
pub mod malformed;
pub mod message;
pub mod peer_id;
pub mod text;

pub use malformed::Malformed;
