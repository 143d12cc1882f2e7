"""Ripcurrent, by each backend that was asked for."""

from .client import Client, Start


class Ours(Client):
    name = "ripcurrent"
    stays_after_check = False

    def __init__(self, program, backend=None):
        super().__init__(program)
        self.backend = backend
        if backend:
            self.name = f"ripcurrent {backend}"

    def started(self, command, job, *more):
        words = [self.path, "--no-config", command, job.torrent.path, "-q", *more]
        words += ["--bind", job.address[0], "--port", job.address[1]]
        if self.backend:
            words += ["--backend", self.backend]
        return Start(words)

    def download(self, job):
        peers = [word for peer in job.peers for word in ("--peer", peer)]
        return self.started("download", job, "-o", job.folder, "--no-seed", *peers)

    def seed(self, job):
        return self.started("seed", job, "--data", job.folder)

    def check(self, job):
        return Start(
            [self.path, "--no-config", "-q", "verify", job.torrent.path, "--data", job.folder]
        )
