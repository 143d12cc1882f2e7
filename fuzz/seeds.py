#!/usr/bin/env python3
"""Writes seed corpora below fuzz/corpus from the known answers that the tests use.

Nothing of it is committed twice: the sources are proto/testdata and, where it stands beside the
checkout, ../shared/torrents.
"""

import json
import pathlib

FUZZ = pathlib.Path(__file__).resolve().parent
VECTORS = FUZZ.parent / "proto" / "testdata" / "vectors"
TORRENTS = [
    FUZZ.parent / "proto" / "testdata" / "torrents-made",
    FUZZ.parent / "proto" / "testdata" / "torrents-hostile",
    FUZZ.parent.parent / "shared" / "torrents",
]

# The settings in front of a stream, as the targets read them.
NO_CUTS = b"\x00"
SOME_CUTS = b"\x03\x01\x07\xff"
MOST_BODY = b"\xff\xff"
PIECES = (1000).to_bytes(2, "big")
# A state as it is saved, without its digest.
RESUME = (
    b"d5:cleani1e5:filesli300000ei1790000000123456789eelee6:formati1e4:have1:\x90"
    b"9:info_hash20:" + b"\x07" * 20 + b"4:openlli1e1:\x20eee"
)


def vectors(name):
    path = VECTORS / name
    return json.loads(path.read_text())["vectors"] if path.exists() else []


def torrents():
    for folder in TORRENTS:
        for path in sorted(folder.glob("*.torrent")):
            yield path.stem, path.read_bytes()


def seeds():
    """(target, name, bytes) of every seed."""
    for index, vector in enumerate(vectors("bencode.json")):
        text = vector["text"].encode() if "text" in vector else bytes.fromhex(vector["hex"])
        yield "bencode", f"vector-{index}", text
        yield "bencode_differential", f"vector-{index}", text
    for name, data in torrents():
        if len(data) <= 8192:
            yield "bencode", name, data
            yield "bencode_differential", name, data
        yield "torrent_file", name, data
    stream = b""
    for index, vector in enumerate(vectors("peer_wire.json")):
        frame = bytes.fromhex(vector["hex"])
        if frame[:1] == b"\x13" and len(frame) == 68:
            yield "handshake", f"vector-{index}", SOME_CUTS + frame
            continue
        stream += frame
        yield "message", f"vector-{index}", PIECES + NO_CUTS + frame
        if frame[4:5] == b"\x14":
            yield "extended", f"vector-{index}", frame[6:]
    yield "message", "all", PIECES + SOME_CUTS + stream
    announce = b"announce?info_hash=%s&peer_id=%s&port=6881&left=0" % (b"a" * 20, b"b" * 20)
    requests = [announce, announce + b"&event=stopped&compact=0", b"scrape?info_hash=" + b"a" * 20]
    stream = b"".join(bytes([len(request)]) + request for request in requests)
    yield "tracker_request", "all", stream
    yield "resume", "state", RESUME
    yield "hash", "pieces", b"\x40\x14" + b"\x04" * 20 + bytes(range(256)) * 20 + b"rest"
    yield "hash", "edges", b"\x01\x1f" + bytes(range(40, 71)) + bytes(range(256)) * 8
    for name, script in engine_scripts():
        yield "engine", name, script
    for index, vector in enumerate(vectors("http_tracker.json")):
        if "body_hex" not in vector:
            continue
        body = bytes.fromhex(vector["body_hex"])
        yield "tracker_reply", f"vector-{index}", body
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        yield "http_response", f"vector-{index}", MOST_BODY + SOME_CUTS + head + body
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
        yield "http_response", f"chunked-{index}", MOST_BODY + NO_CUTS + chunked % (len(body), body)


def engine_scripts():
    """(name, script) of ordinary sessions, as the target `engine` reads its steps."""
    accept, complete_all, sent = b"\x00\x09", b"\x05\x00", b"\x08\x00"
    second = b"\x04\x0a"
    greet = b"\x09\x00\x03"
    have_all, unchoke, interested = b"\x0a\x00\x08\x00\x00", b"\x0a\x00\x01\x00\x00", b"\x0a\x00\x02\x00\x00"
    extended = b"\x0a\x00\x0d\x00\x00"
    settle = complete_all + second + sent
    blocks = [bytes([piece, begin]) for piece in range(5) for begin in range(2)][:9]
    opening = settle + accept + greet + extended + have_all + settle
    # What was not asked for is passed over, so everything is offered several times.
    give = b"".join(b"\x0a\x00\x1f" + block + settle for block in blocks) * 4
    lie = b"\x0a\x00\x0f\x00\x00" + settle
    ask = b"".join(b"\x0a\x00\x06" + block + settle for block in blocks)
    dial = b"\x01\x09" + b"\x06\x00" + greet + have_all + settle
    yield "download", b"\x00" + opening + unchoke + give + complete_all
    yield "download-dialled", b"\x08" + settle + dial + unchoke + lie + give + complete_all
    yield "seed", b"\x06" + opening + interested + settle * 12 + ask


def main():
    count = 0
    for target, name, data in seeds():
        folder = FUZZ / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"seed-{name}").write_bytes(data)
        count += 1
    print(f"{count} seeds")


if __name__ == "__main__":
    main()
