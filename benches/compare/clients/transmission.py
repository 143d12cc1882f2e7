"""transmission-daemon, told of its torrent by a watched folder. Version 3.00 takes no loopback address
from a tracker."""

import json
import shutil

from .client import Client, Start

SETTINGS = {
    "bind-address-ipv6": "::1",
    "blocklist-enabled": False,
    "dht-enabled": False,
    "encryption": 0,
    "idle-seeding-limit-enabled": False,
    "incomplete-dir-enabled": False,
    "lpd-enabled": False,
    "message-level": 2,
    "peer-port-random-on-start": False,
    "pex-enabled": False,
    "port-forwarding-enabled": False,
    "ratio-limit-enabled": False,
    "rpc-enabled": False,
    "script-torrent-done-enabled": True,
    "start-added-torrents": True,
    "trash-original-torrent-files": False,
    "utp-enabled": False,
    "watch-dir-enabled": True,
}


class Transmission(Client):
    name = "transmission"
    command = "transmission-daemon"
    takes_its_time = True
    has_start_of_its_own = True

    def seed(self, job):
        watched = job.home / "watched"
        watched.mkdir()
        if job.torrent:
            shutil.copy(job.torrent.path, watched / "it.torrent")
        script, marker = job.home / "done", job.home / "is-done"
        script.write_text(f"#!/bin/sh\n: > '{marker}'\n")
        script.chmod(0o755)
        settings = {
            **SETTINGS,
            "bind-address-ipv4": job.address[0],
            "peer-port": job.address[1],
            "download-dir": str(job.folder),
            "script-torrent-done-filename": str(script),
            "watch-dir": str(watched),
        }
        (job.home / "settings.json").write_text(json.dumps(settings))
        command = [self.path, "--foreground", "--config-dir", job.home]
        return Start(command, {"HOME": str(job.home)}, marker, is_dialled=True)

    def download(self, job):
        return self.seed(job)
