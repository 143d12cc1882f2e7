"""What is asked of every client."""

import dataclasses
import pathlib
import shutil
import subprocess
import sys


@dataclasses.dataclass
class Job:
    """One thing that a client is to do."""

    # None: nothing, only be there. What that costs is no part of a transfer.
    torrent: object
    # The folder that the data goes into, or lies in.
    folder: pathlib.Path
    # An empty folder for what the client keeps.
    home: pathlib.Path
    # Where it listens.
    address: tuple
    # The seeds; a client that cannot be told asks the tracker that the torrent names.
    peers: list


@dataclasses.dataclass
class Start:
    """How a client is started, and how it shows that it is done."""

    command: list
    env: dict = dataclasses.field(default_factory=dict)
    # Comes to be when the download is done. None: the program ends then.
    marker: pathlib.Path = None
    # It takes no peer from a loopback address; the seeds have to connect to it.
    is_dialled: bool = False


class Client:
    """A client. `download`, `seed` and `check` tell how to start it."""

    name = "?"
    # Whether it stays when it has checked everything; it is asked from outside then.
    stays_after_check = True
    # Whether many seconds pass before it does anything.
    takes_its_time = False
    # Whether it can be started without a torrent.
    has_start_of_its_own = False

    @classmethod
    def find(cls, args):
        """The client, or None where it is not installed."""
        if not (program := cls.program(args)):
            return None
        return cls(program)

    @classmethod
    def program(cls, args):
        return shutil.which(cls.command)

    command = None
    version_option = "--version"

    def __init__(self, program):
        self.path = program

    def version(self):
        """The first line that it says of itself with a number in it."""
        said = subprocess.run(
            [self.path, self.version_option], capture_output=True, text=True, check=False
        )
        lines = (said.stdout + said.stderr).splitlines()
        numbered = (line.strip() for line in lines if any(letter.isdigit() for letter in line))
        return next(numbered, "?")

    def download(self, job):
        """Fetches the torrent into the folder."""
        raise NotImplementedError

    def seed(self, job):
        """Serves the torrent that lies in the folder."""
        raise NotImplementedError

    def check(self, job):
        """Hashes the torrent that lies in the folder."""
        return self.seed(job)

    def starting(self, said):
        """Processor seconds before it began, by what it said."""
        del said
        return 0.0


def python(args):
    """The Python that has libtorrent."""
    return args.python or sys.executable
