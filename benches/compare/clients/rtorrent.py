"""rtorrent, told of everything by a file of settings."""

from .client import Client, Start

# It would hash a finished download once more; no other client does.
SETTINGS = """system.daemon.set = true
network.bind_address.set = {ip}
network.port_range.set = {port}-{port}
network.port_random.set = no
dht.mode.set = disable
protocol.pex.set = no
trackers.use_udp.set = no
protocol.encryption.set = allow_incoming
pieces.hash.on_completion.set = no
directory.default.set = "{folder}"
session.path.set = "{home}"
method.set_key = event.download.finished, done, "execute.nothrow=touch,{marker}"
"""


class Rtorrent(Client):
    name = "rtorrent"
    command = "rtorrent"
    version_option = "-h"
    has_start_of_its_own = True

    def seed(self, job):
        marker, settings = job.home / "is-done", job.home / "settings"
        ip, port = job.address
        text = SETTINGS.format(ip=ip, port=port, folder=job.folder, home=job.home, marker=marker)
        if job.torrent:
            text += f'load.start = "{job.torrent.path}"\n'
        settings.write_text(text)
        command = [self.path, "-n", "-o", f"import={settings}"]
        return Start(command, {"HOME": str(job.home)}, marker)

    def download(self, job):
        return self.seed(job)
