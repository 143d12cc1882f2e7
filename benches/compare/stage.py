"""Where it all happens: programs, an ordinary user, a folder, content and its torrent."""

import dataclasses
import json
import os
import pathlib
import pwd
import random
import resource
import shutil
import socket
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
INTEROP = ROOT / "cli" / "tests" / "interop"
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# What an ordinary user may lock into memory: io_uring counts registered buffers against it.
LOCKED_MEMORY = 8 * MIB

# Set for the run as another user: the folder that root has prepared for it.
PREPARED = "RIPCURRENT_COMPARE_FOLDER"


def prepare(args):
    """Builds the programs and makes the folder. Run by root, it goes on as another user, in the same
    way: the same command with less rights. Returns the folder."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (LOCKED_MEMORY, LOCKED_MEMORY))
    if PREPARED in os.environ:
        return pathlib.Path(os.environ[PREPARED])
    build = build_programs(args.program)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ripcurrent-compare-", dir=args.dir)).resolve()
    for name, path in build.items():
        # Copies: a build in between changes nothing.
        shutil.copy2(path, folder / name)
    if os.geteuid() != 0:
        return folder
    entry = pwd.getpwnam(args.user)
    for path in [folder, *folder.iterdir()]:
        os.chown(path, entry.pw_uid, entry.pw_gid)
    try:
        status = subprocess.run(
            [*as_user(entry), sys.executable, *sys.argv],
            env={**os.environ, PREPARED: str(folder), "HOME": str(folder)},
            check=False,
        ).returncode
        collect(folder, args)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status)


def as_user(entry):
    """What runs a command as `entry`. The right to read is kept, because Python itself may lie where
    only root looks; none that would lift a limit is."""
    ids = [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    rights = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    rights += ["--bounding-set=-all,+dac_read_search", "--pdeathsig=TERM"]
    return ["setpriv", *ids, *rights]


def collect(folder, args):
    """What the other user wrote comes to where it was asked for."""
    for name, wanted in [("result.json", args.json), ("result.svg", args.plot)]:
        if wanted and (folder / name).exists():
            shutil.copyfile(folder / name, wanted)


def build_programs(program):
    command = ["cargo", "build", "--release", "--quiet"]
    if not program:
        subprocess.run([*command, "-p", "ripcurrent"], cwd=ROOT, check=True)
    subprocess.run([*command, "-p", "ripcurrent-benches", "--bins"], cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    names = ["ripcurrent-load", "ripcurrent-floor"]
    built = {name: target / name for name in names if (target / name).exists()}
    return {"ripcurrent": pathlib.Path(program or target / "ripcurrent"), **built}


class Stage:
    """The folder, addresses of loopback that no other run has, and what is made on them."""

    def __init__(self, folder):
        self.folder = folder
        self.program = folder / "ripcurrent"
        self.load = folder / "ripcurrent-load"
        self.floor = folder / "ripcurrent-floor"
        # Runs side by side differ in their process ids.
        self.network = f"127.{100 + os.getpid() % 150}"
        self.number = 0

    def filesystem(self):
        """The type of the file system that the folder lies on."""
        found = subprocess.run(
            ["stat", "-f", "-c", "%T", self.folder], capture_output=True, text=True, check=True
        )
        return found.stdout.strip().replace("ext2/ext3", "ext4")

    def address(self):
        """An address and a port that nobody had before: nobody remembers who was there."""
        self.number += 1
        return f"{self.network}.{self.number // 250 + 2}.{self.number % 250 + 2}", 7000

    def seeds(self, count):
        """The addresses of the load peer's seeds."""
        return [f"{self.network}.0.{number + 2}:6881" for number in range(count)]

    def tracker(self):
        """The load peer answers announces too."""
        return f"http://{self.seeds(1)[0]}/announce"

    def fresh(self, name):
        """A new folder of that name; what was there goes."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def torrent(self, content, piece_length=None):
        """Makes a torrent of a file or folder."""
        torrent = self.folder / (content.parent.name + ".torrent")
        command = [self.program, "--no-config", "-q", "create", content, "-o", torrent, "--overwrite"]
        command += ["--tracker", self.tracker()]
        if piece_length:
            command += ["--piece-length", str(piece_length)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return Torrent(self, torrent, content)

    def one_file(self, name, size):
        return self.torrent(write(self.fresh(name) / "data.bin", size), MIB)

    def small_files(self, name, count):
        """`count` files of 1 to 200 KiB, in folders of a hundred."""
        folder = self.fresh(name) / "files"
        sizes = random.Random(2)
        for number in range(count):
            path = folder / f"{number // 100:03}" / f"{number:05}.dat"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, sizes.randint(KIB, 200 * KIB), number)
        return self.torrent(folder)


class Torrent:
    """A torrent and the content it was made of."""

    def __init__(self, stage, path, content):
        self.path, self.content = path, content
        told = subprocess.run(
            [stage.program, "--no-config", "inspect", "--json", path],
            check=True,
            capture_output=True,
        ).stdout
        facts = json.loads(told)
        self.info_hash = bytes.fromhex(facts["info_hash_v1"])
        self.size = facts["total_size"]
        self.pieces = facts["num_pieces"]

    @property
    def gib(self):
        return self.size / GIB

    @property
    def data(self):
        """The folder that the content lies in."""
        return self.content.parent

    def read(self):
        """Brings the content into the page cache."""
        for path in files(self.content):
            with open(path, "rb") as file:
                while file.read(MIB):
                    pass

    def compare(self, folder):
        """The first file that `folder` has not, or not with the same bytes, if there is one."""
        for path in files(self.content):
            other = folder / path.relative_to(self.data)
            if not other.exists() or not same_bytes(path, other):
                return other
        return None


@dataclasses.dataclass
class Handmade:
    """A torrent that was written without our program."""

    path: pathlib.Path
    info_hash: bytes
    pieces: int


def files(content):
    if content.is_file():
        return [content]
    return sorted(path for path in content.rglob("*") if path.is_file())


def same_bytes(one, other):
    with open(one, "rb") as left, open(other, "rb") as right:
        while True:
            a, b = left.read(MIB), right.read(MIB)
            if a != b:
                return False
            if not a:
                return True


def write(path, size, seed=1):
    """The same bytes each time, not compressible."""
    generator = random.Random(seed)
    with open(path, "wb") as file:
        for at in range(0, size, MIB):
            file.write(generator.randbytes(min(MIB, size - at)))
    return path


def is_listening(address):
    try:
        socket.create_connection(address, 1).close()
    except OSError:
        return False
    return True
