"""qbittorrent-nox, told of its torrent on the command line. Its web interface cannot be switched off:
it gets a port that nobody asks for."""

from .client import Client, Start

SETTINGS = """[LegalNotice]
Accepted=true

[AutoRun]
enabled=true
program={script}

[BitTorrent]
Session\\InterfaceAddress={ip}
Session\\Port={port}
Session\\BTProtocol=TCP
Session\\DHTEnabled=false
Session\\LSDEnabled=false
Session\\PeXEnabled=false
Session\\QueueingSystemEnabled=false
Session\\SSRFMitigation=false
Session\\MaxUploads=-1
Session\\MaxUploadsPerTorrent=-1

[Network]
PortForwardingEnabled=false

[Preferences]
WebUI\\Address={ip}
WebUI\\Port=0
WebUI\\UseUPnP=false
"""


class Qbittorrent(Client):
    name = "qbittorrent"
    command = "qbittorrent-nox"
    has_start_of_its_own = True

    def seed(self, job):
        script, marker = job.home / "done", job.home / "is-done"
        script.write_text(f"#!/bin/sh\n: > '{marker}'\n")
        script.chmod(0o755)
        config = job.home / "qBittorrent" / "config"
        config.mkdir(parents=True)
        ip, port = job.address
        settings = SETTINGS.format(ip=ip, port=port, script=script)
        (config / "qBittorrent.conf").write_text(settings)
        command = [self.path, f"--profile={job.home}", f"--save-path={job.folder}"]
        command.append("--add-paused=false")
        if job.torrent:
            command.append(job.torrent.path)
        return Start(command, {"HOME": str(job.home)}, marker)

    def download(self, job):
        return self.seed(job)
