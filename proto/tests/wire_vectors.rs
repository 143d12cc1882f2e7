//! Known answers for the peer wire, and streams cut and spoiled in every way.

#![expect(clippy::unwrap_used, reason = "all of this is a test, its helpers too")]

use std::fs;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use ripcurrent_proto::wire::Malformed;
use ripcurrent_proto::wire::extended::ExtendedHandshake;
use ripcurrent_proto::wire::fast::allowed_fast_set;
use ripcurrent_proto::wire::handshake::{self, HandshakeReader, Progress};
use ripcurrent_proto::wire::message::{
    BlockRequest, Decoder, Frame, HashRange, Message, encode_piece_header,
};
use ripcurrent_proto::wire::peer_id::client_name;
use serde_json::Value;

/// The number of pieces that the bitfield among the vectors is for.
const PIECES: u32 = 10;

/// The vectors of one file of known answers.
fn vectors(file: &str) -> Vec<Value> {
    let path = format!("{}/testdata/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut json: Value = serde_json::from_str(&text).unwrap();
    match json["vectors"].take() {
        Value::Array(vectors) => vectors,
        other => panic!("{path}: vectors are {other}"),
    }
}

fn unhex(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap().as_bytes();
    let digit = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
    let pairs = hex.chunks_exact(2);
    pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn is_handshake(vector: &Value) -> bool {
    !vector["reserved"].is_null()
}

/// What a decoder found, with the parts of a payload joined, for comparing.
fn decode_all<'a>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<String>, Malformed> {
    let mut found = Vec::new();
    let mut payload = Vec::new();
    for mut data in pieces {
        while let Some(frame) = decoder.next(&mut data)? {
            match frame {
                Frame::Payload { bytes, last } => {
                    assert!(!bytes.is_empty());
                    payload.extend_from_slice(bytes);
                    if last {
                        found.push(format!("payload {:?}", std::mem::take(&mut payload)));
                    }
                }
                frame => found.push(format!("{frame:?}")),
            }
        }
        assert!(data.is_empty(), "all is consumed before more is asked for");
        assert!(decoder.held() <= Decoder::most_held(PIECES));
    }
    Ok(found)
}

/// Every handshake among the vectors reads as described and encodes back.
#[test]
fn handshakes_of_the_vectors() {
    let vectors = vectors("peer_wire.json");
    let handshakes: Vec<_> = vectors.iter().filter(|v| is_handshake(v)).collect();
    assert_eq!(handshakes.len(), 2);
    for vector in handshakes {
        let bytes = unhex(&vector["hex"]);
        let mut data = &bytes[..];
        let mut reader = HandshakeReader::new();
        let Ok(Progress::Head { info_hash, .. }) = reader.push(&mut data) else {
            panic!("no head in {vector}");
        };
        let Ok(Progress::Whole(handshake)) = reader.push(&mut data) else {
            panic!("no whole in {vector}");
        };
        assert_eq!(handshake.info_hash, info_hash);
        let reserved = handshake.reserved;
        let told = [
            ("extended", reserved.extended()),
            ("dht", reserved.dht()),
            ("fast", reserved.fast()),
            ("v2", reserved.v2()),
        ];
        for (bit, value) in told {
            assert_eq!(vector["reserved"][bit], value, "{bit} of {vector}");
        }
        assert_eq!(handshake.encode()[..], bytes);
    }
}

/// Every message among the vectors decodes and encodes back to the same bytes, except that the
/// payload of an unknown one is not kept.
#[test]
fn messages_of_the_vectors_decode_and_encode_back() {
    let vectors = vectors("peer_wire.json");
    for vector in vectors.iter().filter(|v| !is_handshake(v)) {
        let bytes = unhex(&vector["hex"]);
        let mut data = &bytes[..];
        let mut decoder = Decoder::new(PIECES);
        let mut back = Vec::new();
        let mut unknown = false;
        while let Some(frame) = decoder.next(&mut data).unwrap() {
            match frame {
                Frame::Message(message) => {
                    unknown |= matches!(message, Message::Unknown { id: 77 });
                    message.encode(&mut back);
                }
                Frame::Piece(block) => encode_piece_header(block, &mut back),
                Frame::Payload { bytes, .. } => back.extend_from_slice(bytes),
            }
        }
        match unknown {
            true => assert_eq!(back, [0, 0, 0, 1, 77], "{vector}"),
            false => assert_eq!(back, bytes, "{vector}"),
        }
    }
}

/// The extended handshake among the vectors says what it was made to say, and encodes back.
#[test]
fn the_extended_handshake_of_the_vectors() {
    let vectors = vectors("peer_wire.json");
    let vector = vectors.iter().find(|v| v["what"] == "extended handshake");
    let bytes = unhex(&vector.unwrap()["hex"]);
    let payload = &bytes[6..];
    let told = ExtendedHandshake::decode(payload).unwrap();
    let named = |name: &str| told.extensions[name.as_bytes()];
    let names = [
        "lt_donthave",
        "upload_only",
        "ut_holepunch",
        "ut_metadata",
        "ut_pex",
    ];
    assert_eq!(names.map(named), [7, 2, 4, 3, 1]);
    assert_eq!(told.metadata_size, Some(31_235));
    assert_eq!(told.port, Some(6881));
    assert_eq!(told.request_queue, Some(250));
    assert_eq!(told.upload_only, Some(false));
    assert_eq!(told.client.as_deref(), Some("X 0.1"));
    assert_eq!(told.your_ip, Some(Ipv4Addr::LOCALHOST.into()));
    let mut back = Vec::new();
    told.encode(&mut back);
    assert_eq!(back, payload);
}

/// A vector that stops early asks for more, and one with any byte changed to anything is read or
/// refused: no panic, no memory past the bound, and the same answer wherever it is cut.
#[test]
fn every_truncation_and_every_changed_byte_is_survived() {
    for vector in vectors("peer_wire.json") {
        let mut bytes = unhex(&vector["hex"]);
        for end in 0..bytes.len() {
            survive(&bytes[..end], is_handshake(&vector)).expect("only the end is missing");
        }
        for at in 0..bytes.len() {
            let right = bytes[at];
            for wrong in (0..=u8::MAX).filter(|wrong| *wrong != right) {
                bytes[at] = wrong;
                let _ = survive(&bytes, is_handshake(&vector));
            }
            bytes[at] = right;
        }
    }
}

fn survive(bytes: &[u8], as_handshake: bool) -> Result<(), Malformed> {
    if as_handshake {
        let mut reader = HandshakeReader::new();
        let mut data = bytes;
        while !data.is_empty() && matches!(reader.push(&mut data)?, Progress::Head { .. }) {}
        return Ok(());
    }
    if let Some(payload) = bytes.get(6..) {
        let _ = ExtendedHandshake::decode(payload);
    }
    let whole = decode_all(&mut Decoder::new(PIECES), [bytes]);
    let single = decode_all(&mut Decoder::new(PIECES), bytes.chunks(1));
    // A payload that is not over is not among what was found, so the two agree in every case.
    assert_eq!(whole, single);
    whole.map(drop)
}

/// The sets of BEP 6 and those of torrents with fewer pieces than the set was to have.
#[test]
fn allowed_fast_sets_of_the_vectors() {
    for vector in vectors("bep6_allowed_fast.json") {
        let ip: Ipv4Addr = vector["ip"].as_str().unwrap().parse().unwrap();
        let info_hash = unhex(&vector["info_hash"]).try_into().unwrap();
        let pieces = vector["pieces"].as_u64().unwrap() as u32;
        let k = vector["k"].as_u64().unwrap() as usize;
        let mut set = allowed_fast_set(ip, &info_hash, pieces, k);
        if k >= pieces as usize {
            set.sort_unstable();
        }
        assert_eq!(Value::from(set), vector["set"], "{vector}");
    }
}

/// The names that libtorrent gives, but for one: it takes aria2 for the ABC client.
#[test]
fn clients_of_the_vectors_are_named() {
    let mut named = 0;
    for vector in vectors("peer_ids.json") {
        let Some(name) = vector["libtorrent_names_it"].as_str() else {
            continue;
        };
        let name = if name == "ABC 2.1.36" {
            "aria2 1.36.0"
        } else {
            name
        };
        let peer_id = unhex(&vector["peer_id_hex"]).try_into().unwrap();
        assert_eq!(client_name(&peer_id), name, "{vector}");
        named += 1;
    }
    assert_eq!(named, 18);
}

/// One message of a made-up stream, and how many bytes of payload follow it.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let block =
        any::<(u32, u32, u32)>().prop_map(|(piece, begin, len)| BlockRequest { piece, begin, len });
    let range = any::<([u8; 32], [u32; 4])>().prop_map(|(pieces_root, numbers)| HashRange {
        pieces_root,
        base_layer: numbers[0],
        index: numbers[1],
        length: numbers[2],
        proof_layers: numbers[3],
    });
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    prop_oneof![
        Just(encoded(Message::KeepAlive)),
        Just(encoded(Message::Choke)),
        Just(encoded(Message::Unchoke)),
        Just(encoded(Message::HaveNone)),
        any::<u32>().prop_map(|piece| encoded(Message::Have(piece))),
        any::<u16>().prop_map(|port| encoded(Message::Port(port))),
        any::<[u8; 2]>().prop_map(|bits| encoded(Message::Bitfield(&bits))),
        block
            .clone()
            .prop_map(|block| encoded(Message::Request(block))),
        block.prop_map(|block| encoded(Message::Reject(block))),
        range
            .clone()
            .prop_map(|range| encoded(Message::HashRequest(range))),
        (range, bytes(4)).prop_map(|(range, seed)| {
            let hashes = seed.repeat(32);
            encoded(Message::Hashes {
                range,
                hashes: &hashes,
            })
        }),
        (any::<u8>(), bytes(300)).prop_map(|(id, payload)| {
            encoded(Message::Extended {
                id,
                payload: &payload,
            })
        }),
        (24u8.., bytes(200)).prop_map(|(id, payload)| {
            let mut out = encoded(Message::Unknown { id });
            out.extend_from_slice(&payload);
            out[3] += payload.len() as u8;
            out
        }),
        (any::<(u32, u32)>(), bytes(400)).prop_map(|((piece, begin), mut payload)| {
            payload.push(0);
            let len = payload.len() as u32;
            let mut out = Vec::new();
            encode_piece_header(BlockRequest { piece, begin, len }, &mut out);
            out.extend_from_slice(&payload);
            out
        }),
    ]
}

fn encoded(message: Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    out
}

/// The pieces of `stream` between cuts at these places.
fn cut<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|at| at.index(stream.len() + 1)).collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for to in places.into_iter().chain([stream.len()]) {
        pieces.push(&stream[from..to]);
        from = to;
    }
    pieces
}

proptest! {
    /// A stream of messages decodes to the same frames wherever it is cut.
    #[test]
    fn any_cut_decodes_to_the_same_messages(
        messages in proptest::collection::vec(any_message(), 0..12),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = messages.concat();
        let whole = decode_all(&mut Decoder::new(PIECES), [&stream[..]]).unwrap();
        let least = messages.len();
        prop_assert!(whole.len() >= least, "{} of {least} messages", whole.len());
        let pieces = cut(&stream, &cuts);
        prop_assert_eq!(&decode_all(&mut Decoder::new(PIECES), pieces).unwrap(), &whole);
        let single = stream.chunks(1);
        prop_assert_eq!(&decode_all(&mut Decoder::new(PIECES), single).unwrap(), &whole);
    }

    /// Noise is read or refused alike wherever it is cut.
    #[test]
    fn noise_is_survived(
        noise in proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..300),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = decode_all(&mut Decoder::new(PIECES), [&noise[..]]);
        let pieces = cut(&noise, &cuts);
        prop_assert_eq!(decode_all(&mut Decoder::new(PIECES), pieces), whole);
        if noise.len() >= handshake::LEN {
            let _ = survive(&noise, true);
        }
    }
}
