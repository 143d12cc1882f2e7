#!/usr/bin/env python3
"""Ours beside every other client that is installed, on the same data, in turn.

    benches/compare/run.py --dir DIR

Each scenario is done by each contender in each round, and who begins changes from round to round, so
that a machine that grows slower or faster meets all of them; what counts is the ratio within a round.
The other side is always the load peer (benches/load), which costs little and tells what it took.

CPU-s/GiB are processor seconds, user and system, of all threads of a client, for each GiB moved, until
the download is complete or the seeding begins and ends; what a client takes to start without a torrent
(Python, Qt) is taken off. What the kernel writes out later on its own account is on nobody's. MiB/s
count from the first block that the seeds send. Every download is compared byte for byte.

DIR should lie on a real file system with room for four times the largest size. Run by root, everything
is measured as another user; locked memory is limited to 8 MiB in any case.
"""

import argparse
import json
import os
import pathlib
import platform
import pwd
import resource
import shutil
import signal
import sys

import figures
import memory
import plot
import stage as stages
from clients import OTHERS, Ours
from process import Failed
from scenarios import Floor, Sizes, scenarios
from stage import MIB

MEMORY_SCENARIOS = ["idle-peers", "idle-torrents"]

# They work as others do, with another number.
SKIPPED_BY_SMOKE = ["twenty-seeds", "seed-eight"]


def arguments():
    known = [*scenarios(None, None), *MEMORY_SCENARIOS]
    others = [other.name for other in OTHERS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--dir", default=".", help="where to work (default: here)")
    add("--rounds", type=int, default=5, help="(default: 5)")
    add("--scenario", action="append", choices=known, help="only this; may be repeated")
    add("--client", action="append", choices=others, help="only this other; may be repeated")
    add("--alone", action="store_true", help="no other client at all")
    add("--backend", action="append", help="ours by this backend; may be repeated")
    add("--mib", type=int, default=1024, help="size of a transfer (default: 1024)")
    add("--check-mib", type=int, default=4096, help="size of a recheck (default: 4096)")
    add("--files", type=int, default=5000, help="number of small files (default: 5000)")
    add("--peers", type=int, default=1000, help="number of idle peers (default: 1000)")
    add("--torrents", type=int, default=10_000, help="number of idle torrents (default: 10000)")
    add("--smoke", action="store_true", help="everything once and tiny: that it works, not how fast")
    add("--program", help="our program (default: build it)")
    add("--python", default=os.environ.get("RIPCURRENT_PYTHON"), help="one that has libtorrent")
    add("--rqbit", help="where rqbit is (default: on the PATH)")
    add("--user", default="nobody", help="whom root becomes (default: nobody)")
    add("--json", help="write all figures there")
    add("--plot", help="draw them there, as SVG")
    args = parser.parse_args()
    if args.smoke:
        args.rounds, args.mib, args.check_mib, args.files = 1, 8, 16, 50
        args.peers, args.torrents = 20, 20
        args.scenario = args.scenario or [name for name in known if name not in SKIPPED_BY_SMOKE]
    return args


def main():
    args = arguments()
    # What was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    folder = stages.prepare(args)
    try:
        return compare(args, stages.Stage(folder))
    finally:
        if stages.PREPARED not in os.environ:
            stages.collect(folder, args)
            shutil.rmtree(folder)


def compare(args, stage):
    wanted = args.scenario or [*scenarios(stage, None), *MEMORY_SCENARIOS]
    ours = [Ours(stage.program, backend) for backend in args.backend or [None]]
    contenders, versions = find(args, stage, ours)
    machine = describe(stage)
    results = figures.Results([contender.name for contender in contenders])
    sizes = Sizes(args.mib * MIB, args.mib * MIB, args.check_mib * MIB, args.files)
    for name, make in scenarios(stage, sizes).items():
        if name in wanted:
            measure(name, make, contenders, args.rounds, results)
    idle = weigh(args, stage, ours[0], wanted)
    verdicts = [told for one in ours for told in figures.judge(results, one.name)]
    report(results, ours, verdicts, idle)
    whole = {
        "machine": machine,
        "versions": versions,
        "rounds": args.rounds,
        "bytes": vars(sizes),
        "scenarios": results.scenarios,
        "verdicts": verdicts,
        "idle": idle,
    }
    (stage.folder / "result.json").write_text(json.dumps(whole, indent=1) + "\n")
    title = f"Processor seconds per GiB ({args.mib} MiB, {machine['cpu']}, {machine['filesystem']})"
    (stage.folder / "result.svg").write_text(plot.draw(results, title))
    failed = any(None in rounds for rounds in ours_in(results, ours)) or None in idle.values()
    return 1 if failed else 0


def find(args, stage, ours):
    """All contenders, ours first, and what they say that they are."""
    contenders, versions = list(ours), {}
    for one in ours:
        versions[one.name] = one.version()
    for other in [] if args.alone else OTHERS:
        if args.client and other.name not in args.client:
            continue
        if args.smoke and other.takes_its_time:
            print(f"{other.name} is left out: it takes its time to begin")
            continue
        if found := other.find(args):
            contenders.append(found)
            versions[other.name] = found.version()
        else:
            print(f"{other.name} is not installed")
    contenders.append(Floor(stage.floor))
    versions["floor"] = contenders[-1].version()
    for name, version in versions.items():
        print(f"{name}: {version}")
    return contenders, versions


def describe(stage):
    """Where it is measured, and as whom."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    machine = {
        "cpu": f"{len(models)} x {models[0]}" if models else platform.machine(),
        "kernel": platform.release(),
        "filesystem": stage.filesystem(),
        "user": user_name(),
        "locked_memory_mib": resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] / MIB,
        "load_before": os.getloadavg()[0],
    }
    print(
        "on {cpu}, Linux {kernel}, {filesystem}; as {user}, who may lock {locked_memory_mib:.0f} MiB;"
        " {load_before:.1f} others running".format(**machine),
        flush=True,
    )
    return machine


def user_name():
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def measure(name, make, contenders, rounds, results):
    with make() as scene:
        present = [one for one in contenders if scene.has_floor or not isinstance(one, Floor)]
        for number in range(rounds):
            turn = number % len(present)
            for contender in present[turn:] + present[:turn]:
                try:
                    measured = scene.measure(contender)
                except Failed as failure:
                    print(f"{name}: {contender.name} failed: {failure}", file=sys.stderr, flush=True)
                    measured = None
                # What one has left to be written is not to burden the next.
                os.sync()
                results.add(name, contender.name, measured)
                tell(name, number, contender, measured)
    print("\n".join(["", *figures.table(results, name), ""]), flush=True)


def tell(name, number, contender, measured):
    if not measured:
        return
    busy = f", load peer {measured['load_busy']:.0%} busy" if "load_busy" in measured else ""
    print(
        f"{name} {number + 1}: {contender.name} {measured['cpu_s_per_gib']:.3f} CPU-s/GiB,"
        f" {measured['mib_per_s']:.0f} MiB/s, {measured['memory_mib']:.0f} MiB{busy}",
        flush=True,
    )


def weigh(args, stage, ours, wanted):
    """The scenarios of memory, which are about ours alone."""
    idle = {}
    for name, weighing, count in [
        ("idle-peers", memory.idle_peers, args.peers),
        ("idle-torrents", memory.idle_torrents, args.torrents),
    ]:
        if name in wanted:
            try:
                idle[name] = weighing(stage, ours, count)
            except Failed as failure:
                print(f"{name}: failed: {failure}", file=sys.stderr, flush=True)
                idle[name] = None
    return idle


def report(results, ours, verdicts, idle):
    print("Targets")
    for told in verdicts:
        print("  " + figures.verdict(told))
    for one in ours:
        if peak := figures.peak(results, one.name):
            met = "met" if peak <= figures.MEMORY_MIB else "MISSED"
            print(f"  {one.name}: at most {peak:.0f} MiB, wanted <= {figures.MEMORY_MIB}: {met}")
    for line in figures.idle_lines(idle):
        print("  " + line)


def ours_in(results, ours):
    """What ours did in every scenario."""
    names = [one.name for one in ours]
    for contenders in results.scenarios.values():
        yield from (rounds for name, rounds in contenders.items() if name in names)


if __name__ == "__main__":
    sys.exit(main())
