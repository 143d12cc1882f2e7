"""rqbit, told of its torrent on the command line."""

from .client import Client, Start


class Rqbit(Client):
    name = "rqbit"
    command = "rqbit"

    @classmethod
    def program(cls, args):
        return args.rqbit or super().program(args)

    def started(self, job, *more):
        ip, port = job.address
        command = [self.path, "--disable-dht", "--disable-lsd", "--disable-upnp-port-forward"]
        command += ["--disable-trackers", "--ipv4-only", "--listen-ip", ip, "--listen-port", port]
        command += ["download", "--disable-http-api", "--overwrite"]
        command += ["--output-folder", job.folder, *more]
        return Start([*command, job.torrent.path], {"HOME": str(job.home)})

    def download(self, job):
        return self.started(job, "--exit-on-finish", "--initial-peers", ",".join(job.peers))

    def seed(self, job):
        return self.started(job)
