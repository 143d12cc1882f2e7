//! Peers that mean harm, on blocking sockets: a seed that lies now and then, and one attack after
//! the other on whatever we listen on or dial.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, thread};

use ripcurrent_proto::wire::handshake::{Handshake, Reserved};
use ripcurrent_proto::wire::message::{BlockRequest, Decoder, Frame, Message, encode_piece_header};
use socket2::{Domain, Socket, Type};

use crate::harness::{Torrent, World};

/// How long an attacker waits for the other side to hang up.
const ENOUGH: Duration = Duration::from_secs(20);

/// A seed of a torrent of one file that puts a wrong byte into one of so many blocks.
pub(crate) struct Liar {
    pub(crate) address: SocketAddr,
    lies: Arc<AtomicU64>,
}

impl Liar {
    /// Begins to serve; one block of `every` is a lie.
    pub(crate) fn start(torrent: &Torrent, every: u64) -> Liar {
        let lies = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&lies);
        let served = AtomicU64::new(0);
        let data = fs::File::open(&torrent.content).expect("the content is there");
        let address = listen(torrent, move |session| {
            session.greet();
            session.say(Message::Bitfield(&session.full_bitfield()));
            session.say(Message::Unchoke);
            session.each_request(|block| {
                let mut payload = vec![0; block.len as usize];
                let at =
                    u64::from(block.piece) * session.facts.piece_length + u64::from(block.begin);
                data.read_exact_at(&mut payload, at)
                    .expect("the block is in the file");
                if served.fetch_add(1, Ordering::Relaxed) % every == every - 1 {
                    payload[0] ^= 1;
                    told.fetch_add(1, Ordering::Relaxed);
                }
                payload
            });
        });
        Liar { address, lies }
    }

    /// How many wrong blocks it has sent.
    pub(crate) fn lies(&self) -> u64 {
        self.lies.load(Ordering::Relaxed)
    }
}

/// One way to do harm on an open connection.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// Whether the other side has to hang up.
    pub(crate) is_broken_off: bool,
    perform: fn(&Session),
}

/// Every attack there is.
pub(crate) const ATTACKS: &[Attack] = &[
    Attack::fatal("another protocol", |s| {
        s.tell(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    }),
    Attack::fatal("a torrent nobody has", |s| {
        let strange = Handshake {
            info_hash: [7; 20],
            ..s.handshake()
        };
        s.tell(&strange.encode());
    }),
    Attack::harmless("half a handshake", |s| {
        s.tell(&s.handshake().encode()[..30])
    }),
    Attack::fatal("a length of 4 GiB", |s| {
        s.greet();
        s.tell(&[0xff; 4]);
        s.tell(&[20; 4096]);
    }),
    Attack::fatal("a bitfield of 256 MiB", |s| {
        s.greet();
        s.tell(&[0x10, 0, 0, 1, 5]);
        s.tell(&[0xff; 4096]);
    }),
    Attack::fatal("a bitfield a byte too long", |s| {
        s.greet();
        let mut bits = s.full_bitfield();
        bits.push(0);
        s.say(Message::Bitfield(&bits));
    }),
    Attack::fatal("a bitfield a byte too short", |s| {
        s.greet();
        let mut bits = s.full_bitfield();
        bits.pop();
        s.say(Message::Bitfield(&bits));
    }),
    Attack::fatal("a bitfield with spare bits", |s| {
        s.greet();
        let mut bits = s.full_bitfield();
        // A torrent of a multiple of eight pieces has no spare bits: say one piece more instead.
        match s.facts.pieces % 8 {
            0 => bits.push(0x80),
            _ => *bits.last_mut().expect("at least one piece") |= 1,
        }
        s.say(Message::Bitfield(&bits));
    }),
    Attack::fatal("a piece that is not", |s| {
        s.greet();
        s.say(Message::Have(u32::MAX));
    }),
    Attack::harmless("requests out of range", |s| {
        s.greet();
        s.say(Message::Interested);
        let len = 16 << 10;
        for (piece, begin, len) in [
            (s.facts.pieces, 0, len),
            (u32::MAX, u32::MAX, u32::MAX),
            (0, s.facts.piece_length as u32, len),
            (0, u32::MAX - 1, len),
            (0, 0, 0),
            (0, 0, 1 << 31),
            (0, 0, (128 << 10) + 1),
        ] {
            s.say(Message::Request(BlockRequest { piece, begin, len }));
        }
    }),
    Attack::harmless("a flood of requests whose answers nobody reads", |s| {
        s.greet();
        s.say(Message::Interested);
        s.flood(200_000, |number, out| {
            let (piece, begin, len) = (number % s.facts.pieces, 0, 16 << 10);
            Message::Request(BlockRequest { piece, begin, len }).encode(out);
        });
    }),
    Attack::harmless("a flood of small words", |s| {
        s.greet();
        s.flood(500_000, |number, out| match number % 4 {
            0 => Message::Interested.encode(out),
            1 => Message::NotInterested.encode(out),
            2 => Message::Have(number % s.facts.pieces).encode(out),
            _ => Message::KeepAlive.encode(out),
        });
    }),
    Attack::harmless("blocks that nobody asked for", |s| {
        s.greet();
        s.flood(2_000, |number, out| {
            let (piece, begin, len) = (number % s.facts.pieces, 0, 16 << 10);
            encode_piece_header(BlockRequest { piece, begin, len }, out);
            out.resize(out.len() + (16 << 10), 0);
        });
    }),
    Attack::harmless("an extended handshake of nothing but depth", |s| {
        s.greet();
        let payload = &[b'l'; 100_000];
        s.say(Message::Extended { id: 0, payload });
        s.flood(200, |_, out| {
            let payload = b"d1:md11:ut_metadatai3e6:ut_pexi1ee13:metadata_sizei2147483647ee";
            Message::Extended { id: 0, payload }.encode(out);
        });
    }),
    Attack::harmless("words of ids that nobody knows", |s| {
        s.greet();
        for id in [10, 12, 18, 19, 24, 99, 255] {
            let mut frame = 65_537_u32.to_be_bytes().to_vec();
            frame.push(id);
            frame.resize(4 + 65_537, 0xee);
            s.tell(&frame);
        }
    }),
];

impl Attack {
    const fn fatal(name: &'static str, perform: fn(&Session)) -> Attack {
        Attack {
            name,
            is_broken_off: true,
            perform,
        }
    }

    const fn harmless(name: &'static str, perform: fn(&Session)) -> Attack {
        Attack {
            name,
            is_broken_off: false,
            perform,
        }
    }

    /// Dials `target` from an address of its own and does it; whether the other side hung up.
    /// Where that is not asked for, hangs up after a moment.
    pub(crate) fn dial(&self, torrent: &Torrent, target: SocketAddr) -> bool {
        let session = Session::new(Facts::of(torrent), dial(target));
        (self.perform)(&session);
        session.hears_the_end(if self.is_broken_off {
            ENOUGH
        } else {
            Duration::from_secs(1)
        })
    }

    /// Listens and does it to whoever dials; where.
    pub(crate) fn await_victims(&'static self, torrent: &Torrent) -> SocketAddr {
        listen(torrent, |session| {
            (self.perform)(session);
            session.hears_the_end(ENOUGH);
        })
    }
}

/// Dials `target` so many times, each from an address of its own, and says nothing. The connections
/// last as long as what is returned.
pub(crate) fn besiege(target: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| dial(target)).collect()
}

/// Dials from an address that nobody else has: bans of one attacker are not to spare the next.
fn dial(target: SocketAddr) -> TcpStream {
    let from = SocketAddr::new(World::address().ip(), 0);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&from.into()).expect("a loopback address");
    socket.connect(&target.into()).expect("it listens");
    socket.into()
}

/// Listens on an address of its own and treats each that dials to `treat`, in a thread of its own.
/// The threads end with the process.
fn listen(torrent: &Torrent, treat: impl Fn(&Session) + Send + Sync + 'static) -> SocketAddr {
    let address = World::address();
    let listener = TcpListener::bind(address).expect("a free port");
    let (treat, facts) = (Arc::new(treat), Facts::of(torrent));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = Session::new(facts, stream.expect("a connection"));
            let treat = Arc::clone(&treat);
            thread::spawn(move || treat(&session));
        }
    });
    address
}

/// What a peer has to know of a torrent.
#[derive(Clone, Copy)]
struct Facts {
    info_hash: [u8; 20],
    pieces: u32,
    piece_length: u64,
}

impl Facts {
    fn of(torrent: &Torrent) -> Facts {
        let mut info_hash = [0; 20];
        for (byte, digits) in info_hash
            .iter_mut()
            .zip(torrent.info_hash.as_bytes().chunks(2))
        {
            let digits = std::str::from_utf8(digits).expect("hexadecimal digits");
            *byte = u8::from_str_radix(digits, 16).expect("hexadecimal digits");
        }
        let (pieces, piece_length) = (torrent.pieces, torrent.piece_length);
        Facts {
            info_hash,
            pieces,
            piece_length,
        }
    }
}

/// A connection. That the other side hangs up is no failure of ours: nothing here minds.
struct Session {
    facts: Facts,
    stream: TcpStream,
}

impl Session {
    fn new(facts: Facts, stream: TcpStream) -> Session {
        let timeout = Some(Duration::from_secs(2));
        stream
            .set_write_timeout(timeout)
            .expect("a timeout that is not zero");
        Session { facts, stream }
    }

    fn handshake(&self) -> Handshake {
        Handshake {
            reserved: Reserved::NONE,
            info_hash: self.facts.info_hash,
            peer_id: *b"-XX0001-that-is-evil",
        }
    }

    /// Exchanges handshakes.
    fn greet(&self) {
        self.tell(&self.handshake().encode());
        self.wait_at_most(ENOUGH);
        let _ = (&self.stream).read_exact(&mut [0; 68]);
    }

    fn full_bitfield(&self) -> Vec<u8> {
        let mut bits = vec![0xff; self.facts.pieces.div_ceil(8) as usize];
        if let (spare @ 1.., Some(last)) = ((8 - self.facts.pieces % 8) % 8, bits.last_mut()) {
            *last <<= spare;
        }
        bits
    }

    fn say(&self, message: Message<'_>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.tell(&bytes);
    }

    /// Sends it, whether or not anybody takes it.
    fn tell(&self, bytes: &[u8]) {
        let _ = self.send(bytes);
    }

    /// Whether all of it went out.
    fn send(&self, bytes: &[u8]) -> bool {
        (&self.stream).write_all(bytes).is_ok()
    }

    /// Sends what `fill` writes for every number below `count`, until nobody takes it any more.
    fn flood(&self, count: u32, fill: impl Fn(u32, &mut Vec<u8>)) {
        let mut bytes = Vec::new();
        for number in 0..count {
            fill(number, &mut bytes);
            if bytes.len() > 32 << 10 {
                if !self.send(&bytes) {
                    return;
                }
                bytes.clear();
            }
        }
        self.tell(&bytes);
    }

    /// Answers every request with what `serve` makes of it, until the other side hangs up.
    fn each_request(&self, serve: impl Fn(BlockRequest) -> Vec<u8>) {
        let mut decoder = Decoder::new(self.facts.pieces);
        let mut buffer = vec![0; 64 << 10];
        let _ = self.stream.set_read_timeout(None);
        while let Ok(len @ 1..) = (&self.stream).read(&mut buffer) {
            let mut data = &buffer[..len];
            while let Ok(Some(frame)) = decoder.next(&mut data) {
                let Frame::Message(Message::Request(block)) = frame else {
                    continue;
                };
                let mut answer = Vec::new();
                encode_piece_header(block, &mut answer);
                answer.extend(serve(block));
                self.tell(&answer);
            }
        }
    }

    /// Reads until the other side hangs up; whether it did before it was quiet for `patience`.
    fn hears_the_end(&self, patience: Duration) -> bool {
        self.wait_at_most(patience);
        let mut buffer = [0; 4096];
        loop {
            match (&self.stream).read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => {
                    let quiet = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
                    return !quiet.contains(&error.kind());
                }
            }
        }
    }

    fn wait_at_most(&self, patience: Duration) {
        self.stream
            .set_read_timeout(Some(patience))
            .expect("a timeout that is not zero");
    }
}
