//! What the carrier needs of a crate's sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};

use ripcurrent_proto::api::Transmission;

/// TCP as one crate offers it.
///
/// An operation owns its buffer and gives it back. It ends by itself soon after its socket was shut
/// down; the carrier counts on that, because it never drops an operation that is not done.
pub(crate) trait Sockets: 'static {
    /// A socket that listens.
    type Listener: 'static;
    /// A connection.
    type Stream: 'static;

    /// Takes a socket over that listens.
    fn listen(listener: TcpListener) -> io::Result<Self::Listener>;

    /// Lets one in.
    async fn accept(listener: &Self::Listener) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Takes a connection over.
    fn adopt(stream: tokio::net::TcpStream) -> io::Result<Self::Stream>;

    /// Makes small writes go out at once (`TCP_NODELAY`).
    fn send_at_once(stream: &Self::Stream) -> io::Result<()>;

    /// Receives what there is, at most `most` bytes, to the beginning of `buffer`; 0 at the end of
    /// the stream.
    async fn receive(
        stream: &Self::Stream,
        buffer: Vec<u8>,
        most: usize,
    ) -> (Vec<u8>, io::Result<usize>);

    /// Sends all parts, in order.
    async fn send(
        stream: &Self::Stream,
        transmission: Transmission,
    ) -> (Transmission, io::Result<()>);

    /// Sends what the system takes at once, while nothing else is being sent; the rest is lost.
    fn send_last(stream: &Self::Stream, bytes: &[u8]);

    /// Makes every operation on the connection end.
    fn shut_down(stream: &Self::Stream);

    /// Lets the system work without waiting for anything.
    async fn enter();
}
