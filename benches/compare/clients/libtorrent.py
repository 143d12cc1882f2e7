"""libtorrent, through the few lines of Python that the interoperability tests use."""

import subprocess

from stage import INTEROP

from .client import Client, Start, python


class Libtorrent(Client):
    name = "libtorrent"
    stays_after_check = False
    SCRIPT = INTEROP / "libtorrent_peer.py"

    @classmethod
    def program(cls, args):
        found = subprocess.run(
            [python(args), "-c", "import libtorrent"], capture_output=True, check=False
        )
        return python(args) if found.returncode == 0 else None

    def version(self):
        code = "import libtorrent; print(libtorrent.__version__)"
        return subprocess.run(
            [self.path, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()

    def seed(self, job):
        command = [self.path, self.SCRIPT, "--torrent", job.torrent.path, "--data", job.folder]
        command += ["--listen", "{}:{}".format(*job.address)]
        return Start(command)

    def download(self, job):
        start = self.check(job)
        start.command += [word for peer in job.peers for word in ("--peer", peer)]
        return start

    def check(self, job):
        start = self.seed(job)
        start.command.append("--leave")
        return start

    def starting(self, said):
        lines = [line for line in said.splitlines() if line.startswith("starting took ")]
        return float(lines[-1].split()[-1]) if lines else 0.0
