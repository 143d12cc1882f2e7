#!/usr/bin/env python3
"""Processor time of a download, ours beside libtorrent's: seconds (user and system) per GiB.

One libtorrent seed serves both over loopback. The two download the same data in turn, so that a
machine that grows slower or faster meets both; what counts is the ratio within a round. What is
measured is the whole process (getrusage of the child), checking and writing included; the start of
Python is taken off libtorrent's account. Every download is compared byte for byte.

Needs libtorrent for Python (`pip install libtorrent`) and three times the size in --dir.
"""

import argparse
import filecmp
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEER = ROOT / "cli" / "tests" / "interop" / "libtorrent_peer.py"
GIB = 1 << 30
MIB = 1 << 20


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", default=".", help="where to work (default: here)")
    parser.add_argument("--mib", type=int, default=1024, help="size in MiB (default: 1024)")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of downloads (default: 5)")
    parser.add_argument("--program", help="our program (default: build it)")
    args = parser.parse_args()
    program = args.program or build()
    with tempfile.TemporaryDirectory(prefix="ripcurrent-compare-", dir=args.dir) as folder:
        measure(pathlib.Path(folder), program, args.mib * MIB, args.rounds)


def build():
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    return str(ROOT / "target" / "release" / "ripcurrent")


def measure(folder, program, size, rounds):
    source = folder / "seed" / "data.bin"
    torrent = folder / "data.torrent"
    write(source, size)
    create = [program, "create", str(source), "-o", str(torrent)]
    subprocess.run(create, check=True, stdout=subprocess.DEVNULL)
    with seed(torrent, source.parent, folder / "seed.log") as address:
        contenders = {
            "ripcurrent": lambda into: ours(program, torrent, into, address),
            "libtorrent": lambda into: libtorrent(torrent, into, address),
        }
        figures = {name: [] for name in contenders}
        print(f"{size / GIB:.3f} GiB, processor seconds per GiB (wall seconds)")
        for number in range(1, rounds + 1):
            words = []
            # Who goes first changes from round to round.
            order = sorted(contenders, reverse=number % 2 == 0)
            for name in order:
                seconds, wall = download(folder, source, contenders[name])
                figures[name].append(seconds / (size / GIB))
                words.append(f"{name} {figures[name][-1]:.3f} ({wall:.2f})")
            print(f"round {number}: " + ", ".join(sorted(words)), flush=True)
    for name, values in figures.items():
        spread = f"{min(values):.3f} to {max(values):.3f}"
        print(f"{name}: median {statistics.median(values):.3f} CPU-s/GiB ({spread})")
    ratios = [a / b for a, b in zip(figures["ripcurrent"], figures["libtorrent"])]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"ripcurrent / libtorrent: median {statistics.median(ratios):.2f} ({spread})")


def write(path, size):
    """The same bytes each time, not compressible."""
    path.parent.mkdir()
    generator = random.Random(1)
    with open(path, "wb") as file:
        for at in range(0, size, MIB):
            file.write(generator.randbytes(min(MIB, size - at)))


class seed:
    """A libtorrent seed, ended with the block."""

    def __init__(self, torrent, data, log):
        self.address = "127.0.7.2:6881"
        command = peer(torrent, data, self.address)
        self.log = log
        with open(log, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)

    def __enter__(self):
        while "complete " not in self.log.read_text():
            if self.process.poll() is not None:
                sys.exit("the seed ended:\n" + self.log.read_text())
            time.sleep(0.1)
        return self.address

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def peer(torrent, data, listen, *more):
    python = os.environ.get("RIPCURRENT_PYTHON", sys.executable)
    return [python, str(PEER), "--torrent", str(torrent), "--data", str(data), "--listen", listen, *more]


def ours(program, torrent, into, address):
    command = [program, "--no-config", "download", str(torrent), "-o", str(into), "--no-seed", "-q"]
    command += ["--bind", "127.0.7.3", "--port", "6882", "--peer", address]
    return run(command, into / "log")[:2]


def libtorrent(torrent, into, address):
    command = peer(torrent, into, "127.0.7.4:6883", "--peer", address, "--leave")
    seconds, wall, said = run(command, into / "log")
    starting = next(line for line in said.splitlines() if line.startswith("starting took "))
    return seconds - float(starting.split()[-1]), wall


def download(folder, source, contender):
    """Processor and wall seconds of one download, compared and removed again."""
    into = folder / "into"
    into.mkdir()
    result = contender(into)
    if not filecmp.cmp(source, into / source.name, shallow=False):
        sys.exit("the downloaded bytes are not the seeded ones")
    shutil.rmtree(into)
    return result


def run(command, log):
    """Runs to the end; processor seconds of the child, wall seconds, what it said."""
    begun = time.monotonic()
    with open(log, "w", encoding="utf-8") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    said = log.read_text()
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{said}")
    return usage.ru_utime + usage.ru_stime, wall, said


if __name__ == "__main__":
    main()
