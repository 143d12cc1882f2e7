"""aria2. It cannot be told of a peer and asks the tracker."""

from .client import Client, Start


class Aria2(Client):
    name = "aria2"
    command = "aria2c"
    stays_after_check = False

    def started(self, job, *more):
        command = [self.path, "--no-conf", f"--dir={job.folder}"]
        command += [f"--interface={job.address[0]}", f"--listen-port={job.address[1]}"]
        command += ["--bt-enable-lpd=false", "--enable-peer-exchange=false", "--disable-ipv6=true"]
        command += ["--enable-dht=false", "--enable-dht6=false", "--bt-require-crypto=false"]
        # None is its fastest way to lay files out.
        command += ["--file-allocation=none", "--summary-interval=0"]
        command += ["--show-console-readout=false", "--enable-color=false"]
        return Start([*command, *more, job.torrent.path], {"HOME": str(job.home)})

    def download(self, job):
        return self.started(job, "--seed-time=0")

    def seed(self, job):
        return self.started(job, "--check-integrity=true", "--seed-ratio=0")

    def check(self, job):
        return self.started(job, "--check-integrity=true", "--hash-check-only=true")
