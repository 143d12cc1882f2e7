"""What is measured: each scenario is done by each contender in turn, round after round."""

import dataclasses
import json
import os
import shutil
import subprocess
import time

from clients import Job
from load import Leechers, Seeds
from probe import is_seed
from process import Failed, Process
from stage import GIB, files, is_listening

# The most seconds that anything may take.
PATIENCE = 900

# The most seconds that a seed is asked for; some send 16 MiB/s.
SEEDING_SECONDS = 20


@dataclasses.dataclass
class Sizes:
    """In bytes; `files` is a number of files."""

    download: int
    seed: int
    check: int
    files: int


def job_on(stage, torrent, folder, peers=()):
    """Something to do, with an empty home and an address that nobody had before."""
    return Job(torrent, folder, stage.fresh("home"), stage.address(), list(peers))


class Scene:
    """What scenarios have in common: how a client is started, and watched."""

    # Whether the floor program takes part.
    has_floor = False

    def __init__(self, stage, sizes):
        self.stage, self.sizes = stage, sizes
        self.starts = {}

    def start(self, start):
        return Process(start.command, self.stage.folder / "log", start.env)

    def starting(self, client):
        """Processor seconds that the client takes to be there, with nothing to do."""
        if not client.has_start_of_its_own:
            return 0.0
        if client.name not in self.starts:
            job = job_on(self.stage, None, self.stage.fresh("into"))
            with self.start(client.seed(job)) as process:
                process.wait_until(lambda: is_listening(job.address), PATIENCE)
                time.sleep(1)
                self.starts[client.name] = process.cpu()
        return self.starts[client.name]


class Download(Scene):
    """Fetches from so many seeds; what came is compared byte for byte."""

    has_floor = True

    def __init__(self, stage, sizes, seeds):
        super().__init__(stage, sizes)
        self.count = seeds

    def __enter__(self):
        self.torrent = self.content()
        self.seeds = Seeds(self.stage, self.torrent, self.count)
        return self

    def __exit__(self, *_):
        self.seeds.__exit__()

    def content(self):
        return self.stage.one_file("seeded", self.sizes.download)

    def measure(self, client):
        if isinstance(client, Floor):
            return client.measure(self)
        starting = self.starting(client)
        into = self.empty_folder()
        job = job_on(self.stage, self.torrent, into, self.seeds.addresses)
        start = client.download(job)
        self.seeds.report()
        with self.start(start) as process:
            if start.is_dialled:
                process.wait_until(lambda: is_listening(job.address), PATIENCE)
                self.seeds.dial(job.address)
            if start.marker:
                cost = process.wait_until(start.marker.exists, PATIENCE)
            else:
                cost = process.wait(PATIENCE)
            now = time.monotonic()
            sent = self.seeds.report()
            starting += client.starting(process.said())
        if different := self.torrent.compare(into):
            raise Failed(f"{different} is not what was seeded")
        self.clear(into)
        return figures(cost, cost.cpu - starting, now - sent["first"], self.torrent.gib, sent)

    def empty_folder(self):
        """Where the next one is to put it."""
        return self.stage.fresh("into")

    def clear(self, into):
        """Frees the room that the content took there."""
        shutil.rmtree(into)


class SmallFiles(Download):
    """As `Download`, of many files.

    What came is emptied and stays until the end: ext4 without a journal looks at every inode that was
    given back in the last minutes before it takes a new one, so that whoever is measured would pay
    for the files that others have left (four times what a file costs otherwise)."""

    has_floor = False

    def __init__(self, stage, sizes, seeds):
        super().__init__(stage, sizes, seeds)
        self.folders = []

    def __exit__(self, *failure):
        super().__exit__(*failure)
        for folder in self.folders:
            shutil.rmtree(folder)

    def content(self):
        return self.stage.small_files("seeded", self.sizes.files)

    def empty_folder(self):
        self.folders.append(self.stage.fresh(f"into-{len(self.folders)}"))
        return self.folders[-1]

    def clear(self, into):
        for path in files(into):
            os.truncate(path, 0)


class Seeding(Scene):
    """Serves so many leechers at once, each of whom fetches everything."""

    def __init__(self, stage, sizes, leechers):
        super().__init__(stage, sizes)
        self.count = leechers

    def __enter__(self):
        self.torrent = self.stage.one_file("seeded", self.sizes.seed)
        return self

    def __exit__(self, *_):
        pass

    def measure(self, client):
        self.torrent.read()
        job = job_on(self.stage, self.torrent, self.torrent.data)
        with self.start(client.seed(job)) as process:
            process.wait_until(lambda: is_seed(job.address, self.torrent), PATIENCE, 0.1)
            limits = ["--seconds", SEEDING_SECONDS]
            with Leechers(self.stage, self.torrent, job.address, self.count, *limits) as leechers:
                leechers.wait_until_ready()
                before, begun = process.cpu(), time.monotonic()
                got = leechers.fetch()
                cpu, wall = process.cpu() - before, time.monotonic() - begun
            process.check()
            cost = process.cost()
        return figures(cost, cpu, wall, got["bytes"] / GIB, got)


class Recheck(Scene):
    """Hashes data that is in the page cache."""

    def __enter__(self):
        self.torrent = self.stage.one_file("seeded", self.sizes.check)
        return self

    def __exit__(self, *_):
        pass

    def measure(self, client):
        starting = self.starting(client)
        self.torrent.read()
        job = job_on(self.stage, self.torrent, self.torrent.data)
        with self.start(client.check(job)) as process:
            if client.stays_after_check:
                done = lambda: is_seed(job.address, self.torrent)
                cost = process.wait_until(done, PATIENCE, 0.05)
            else:
                cost = process.wait(PATIENCE)
            starting += client.starting(process.said())
        return figures(cost, cost.cpu - starting, cost.wall, self.torrent.gib, None)


class Floor:
    """The bare loop, as a contender in downloads."""

    name = "floor"

    def __init__(self, program):
        self.path = program

    def version(self):
        return "receive, hash, write and nothing else"

    def measure(self, scene):
        """As scenes measure clients."""
        into = scene.stage.fresh("into")
        scene.seeds.report()
        command = [self.path, "--torrent", scene.torrent.path, "--into", into / "data.bin"]
        command += [word for peer in scene.seeds.addresses for word in ("--seed", peer)]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        if told.returncode != 0:
            raise Failed(f"the floor program says {told.stderr}")
        if different := scene.torrent.compare(into):
            raise Failed(f"{different} is not what was seeded")
        scene.stage.fresh("into")
        return json.loads(told.stdout)


def figures(cost, cpu, wall, gib, load):
    """One measurement, as it is kept."""
    measured = {
        "cpu_s_per_gib": cpu / gib,
        "mib_per_s": gib * 1024 / wall,
        "memory_mib": cost.memory / (1 << 20),
        "wall_s": wall,
        "whole_wall_s": cost.wall,
        "whole_cpu_s": cost.cpu,
        "whole_system_s": cost.system,
    }
    if load:
        # What the load peer took of one processor: near 1, it was the limit.
        measured["load_busy"] = load["cpu_seconds"] / wall
        measured["load_cpu_s_per_gib"] = load["cpu_seconds"] / gib
    return measured


def scenarios(stage, sizes):
    """All of them by name, in the order in which they are run."""
    return {
        "one-seed": lambda: Download(stage, sizes, 1),
        "twenty-seeds": lambda: Download(stage, sizes, 20),
        "small-files": lambda: SmallFiles(stage, sizes, 1),
        "seed-one": lambda: Seeding(stage, sizes, 1),
        "seed-eight": lambda: Seeding(stage, sizes, 8),
        "recheck": lambda: Recheck(stage, sizes),
    }
