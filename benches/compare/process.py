"""Programs, and what they cost."""

import os
import select
import shlex
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A contender did not do what it was asked for. The others go on."""


class Cost:
    """What a program took: processor seconds, wall seconds, and the most memory, in bytes."""

    def __init__(self, cpu, wall, memory, system=None):
        self.cpu, self.wall, self.memory, self.system = cpu, wall, memory, system


class Process:
    """A program that was started; it ends with the block."""

    def __init__(self, command, log, env=None):
        self.log = log
        self.command = [str(word) for word in command]
        self.begun = time.monotonic()
        with open(log, "w", encoding="utf-8") as out:
            self.child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )
        self.pid = self.child.pid
        self.memory = 0
        self.ended = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.ended is None:
            self.child.kill()
            self.child.wait()

    def __str__(self):
        return shlex.join(self.command)

    def tail(self):
        """The end of what it said."""
        return "\n".join(self.said().splitlines()[-20:])

    def said(self):
        return self.log.read_text(errors="replace")

    def cpu(self):
        """Processor seconds so far of all its threads, those that ended included."""
        # The clock that clock_getcpuclockid(3) names: finer than /proc, which counts in ticks.
        return time.clock_gettime((~self.pid << 3) | 2)

    def watch_memory(self):
        """The most memory so far, in bytes; the kernel keeps the mark, so looking now and then will
        do."""
        for line in self.status():
            if line.startswith("VmHWM:"):
                self.memory = max(self.memory, int(line.split()[1]) << 10)
        return self.memory

    def resident(self):
        """The memory it has now, in bytes."""
        for line in self.status():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
        return 0

    def status(self):
        try:
            with open(f"/proc/{self.pid}/status", encoding="utf-8") as file:
                return file.readlines()
        except OSError:
            return []

    def system_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as file:
            return int(file.read().rsplit(")", 1)[1].split()[12]) / TICKS

    def check(self):
        """Fails if the program has ended."""
        if self.child.poll() is not None:
            raise Failed(f"{self} ended with {self.child.returncode}:\n{self.tail()}")

    def wait(self, patience):
        """Waits for its end, which has to be a good one; what it took."""
        end = time.monotonic() + patience
        descriptor = os.pidfd_open(self.pid)
        try:
            while not select.select([descriptor], [], [], 0.02)[0]:
                self.watch_memory()
                if time.monotonic() > end:
                    raise Failed(f"{self} takes too long:\n{self.tail()}")
        finally:
            os.close(descriptor)
        self.ended = time.monotonic()
        _, status, usage = os.wait4(self.pid, 0)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        if self.child.returncode != 0:
            self.check()
        # The kernel counts what Python had before it became the program: only what is more is surely
        # its own, unless it was too short to be looked at.
        peak = usage.ru_maxrss << 10
        if peak > own_peak() or self.memory == 0:
            self.memory = max(self.memory, peak)
        cpu = usage.ru_utime + usage.ru_stime
        return Cost(cpu, self.ended - self.begun, self.memory, usage.ru_stime)

    def wait_until(self, is_done, patience, pause=0.01):
        """Waits until `is_done()`; what the program took since its start."""
        end = self.begun + patience
        while not is_done():
            self.check()
            self.watch_memory()
            if time.monotonic() > end:
                raise Failed(f"{self} takes too long:\n{self.tail()}")
            time.sleep(pause)
        return self.cost()

    def cost(self):
        """What it took since its start."""
        cpu, wall = self.cpu(), time.monotonic() - self.begun
        return Cost(cpu, wall, self.watch_memory(), self.system_seconds())


def own_peak():
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:"))
