"""The load peer: seeds and leechers that cost little (benches/load)."""

import json
import subprocess

from process import Failed


class Load:
    """A load peer at the other end of two pipes; it ends with the block."""

    def __init__(self, command):
        self.command = [str(word) for word in command]
        self.child = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.communicate()

    def check(self):
        """Fails if it has ended."""
        if self.child.poll() is not None:
            raise Failed(f"the load peer has ended: {' '.join(self.command)}")

    def line(self):
        line = self.child.stdout.readline()
        if not line:
            raise Failed(f"the load peer has ended: {' '.join(self.command)}")
        return line.strip()

    def say(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    def wait_until_ready(self):
        if (line := self.line()) != "ready":
            raise Failed(f"the load peer says {line}")


class Seeds(Load):
    """Serves a torrent at so many addresses."""

    def __init__(self, stage, torrent, count):
        self.addresses = stage.seeds(count)
        command = [stage.load, "seed", "--torrent", torrent.path, "--data", torrent.data]
        command += ["--listen", self.addresses[0], "--addresses", count]
        super().__init__(command)
        self.wait_until_ready()

    def dial(self, address):
        """Connects to a client from every address."""
        self.say("dial {}:{}".format(*address))

    def report(self):
        """What was sent since the last report."""
        self.say("report")
        return json.loads(self.line())


class Leechers(Load):
    """Fetches a torrent over so many connections, when told."""

    def __init__(self, stage, torrent, address, count, *more):
        first = f"{stage.network}.1.2"
        command = [stage.load, "leech", "--torrent", torrent.path, "--from", first]
        command += ["--connect", "{}:{}".format(*address), "--connections", count, *more]
        super().__init__(command)

    def fetch(self):
        """Fetches all of it; what came."""
        self.say("go")
        return json.loads(self.line())
