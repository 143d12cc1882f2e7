"""What ours keeps in memory when there is little to do: a crowd of idle peers, a heap of idle
torrents."""

import hashlib
import random
import resource
import signal
import time

from load import Leechers
from probe import is_seed
from process import Process
from scenarios import PATIENCE, job_on
from stage import KIB, MIB, Handmade, is_listening

# What an idle torrent consists of.
PIECES, PIECE_LEN = 1000, KIB


def idle_peers(stage, ours, count):
    """Bytes of resident memory that each of so many idle peers takes, where 10,000 pieces are
    served and where they are fetched."""
    resource.setrlimit(resource.RLIMIT_NOFILE, [resource.getrlimit(resource.RLIMIT_NOFILE)[1]] * 2)
    content = stage.fresh("seeded") / "data.bin"
    with open(content, "wb") as file:
        file.truncate(10_000 * 16 * KIB)
    torrent = stage.torrent(content, 16 * KIB)
    served = weigh(stage, torrent, count, ours.seed, torrent.data)
    fetched = weigh(stage, torrent, count, ours.download, stage.fresh("into"))
    return {"peers": count, "served_bytes": served, "fetched_bytes": fetched}


def weigh(stage, torrent, count, command, folder):
    job = job_on(stage, torrent, folder)
    start = command(job)
    start.command += ["--max-peers", str(2 * count)]
    with Process(start.command, stage.folder / "log") as process:
        if folder == torrent.data:
            process.wait_until(lambda: is_seed(job.address, torrent), PATIENCE, 0.1)
        else:
            process.wait_until(lambda: is_listening(job.address), PATIENCE, 0.1)
        time.sleep(2)
        without = process.resident()
        with Leechers(stage, torrent, job.address, count, "--idle") as crowd:
            crowd.wait_until_ready()
            time.sleep(3)
            process.check()
            crowd.check()
            return (process.resident() - without) / count


def idle_torrents(stage, ours, count):
    """What so many idle torrents of 1,000 pieces take, and what a restart with them does."""
    folder = stage.fresh("seeded")
    (folder / "torrents").mkdir()
    (folder / "data").mkdir()
    torrents = [handmade(folder, number) for number in range(count)]
    first = run_until_idle(stage, ours, torrents, folder / "data")
    again = run_until_idle(stage, ours, torrents, folder / "data")
    return {"torrents": count, "first": first, "restart": again}


def handmade(folder, number):
    """A torrent of zeroes, which take no room."""
    name = f"{number:06}.bin"
    with open(folder / "data" / name, "wb") as file:
        file.truncate(PIECES * PIECE_LEN)
    digest = hashlib.sha1(bytes(PIECE_LEN)).digest()
    info = b"d6:lengthi%de4:name%d:%s12:piece lengthi%de6:pieces%d:%se" % (
        PIECES * PIECE_LEN,
        len(name),
        name.encode(),
        PIECE_LEN,
        20 * PIECES,
        digest * PIECES,
    )
    path = folder / "torrents" / f"{number:06}.torrent"
    path.write_bytes(b"d4:info" + info + b"e")
    return Handmade(path, hashlib.sha1(info).digest(), PIECES)


def run_until_idle(stage, ours, torrents, data):
    """Starts with all of them, waits until all are served and nothing happens any more, leaves."""
    job = job_on(stage, torrents[0], data)
    start = ours.seed(job)
    start.command += [str(torrent.path) for torrent in torrents[1:]]
    asked = random.Random(3).sample(torrents, min(20, len(torrents)))
    with Process(start.command, stage.folder / "log") as process:
        process.wait_until(lambda: is_listening(job.address), PATIENCE, 0.1)
        process.wait_until(lambda: is_at_rest(process), PATIENCE, 0.1)
        process.wait_until(lambda: all(is_seed(job.address, one) for one in asked), PATIENCE, 0.5)
        cost = process.cost()
        told = {
            "cpu_s": cost.cpu,
            "wall_s": cost.wall,
            "resident_mib": process.resident() / MIB,
            "peak_mib": cost.memory / MIB,
        }
        begun = process.cpu()
        time.sleep(5)
        told["idle_cpu_s_per_s"] = (process.cpu() - begun) / 5
        process.child.send_signal(signal.SIGINT)
        process.child.wait(PATIENCE)
    return told


def is_at_rest(process):
    """Whether it takes less than a twentieth of a processor."""
    before = process.cpu()
    time.sleep(0.5)
    return process.cpu() - before < 0.025
