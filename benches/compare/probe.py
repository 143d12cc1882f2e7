"""A short look at a client from outside: has it everything?"""

import socket

PROTOCOL = b"\x13BitTorrent protocol"


def is_seed(address, torrent, patience=1.0):
    """Whether who listens there has all of the torrent, by the bitfield that it opens with."""
    try:
        with socket.create_connection(address, patience) as peer:
            peer.settimeout(patience)
            peer.sendall(PROTOCOL + bytes(8) + torrent.info_hash + b"-XP0001-............")
            stream = peer.makefile("rb")
            if len(stream.read(68)) < 68:
                return False
            while True:
                length = int.from_bytes(stream.read(4), "big")
                body = stream.read(length)
                if len(body) < length or not body:
                    return False
                if body[0] == 5:
                    return sum(byte.bit_count() for byte in body[1:]) == torrent.pieces
    except OSError:
        return False
