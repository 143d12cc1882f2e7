#!/usr/bin/env python3
"""Does the simulator find bugs? Plants them, one at a time, and counts the seeds that it takes.

Copies the tree to target/hunt, applies one patch, builds, and runs drawn scenarios, then the ready
ones, until one fails. Prints for each bug which check caught it in which run, or that none did.

    sim/bugs/hunt.py                      all bugs of this folder
    sim/bugs/hunt.py --sample 5           five of them, others each day
    sim/bugs/hunt.py half-open            those with this in their name
    sim/bugs/hunt.py --mutants 100        random operator mutants instead (needs cargo-mutants)

Exits with 1 if the tree fails without a bug, or if less is caught than --expect says (in percent).
"""

import argparse
import datetime
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HUNT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "hunt"
TREE = HUNT / "tree"
BINARY = HUNT / "target" / "hunt" / "ripcurrent"
# Where operators are mutated: what decides who gets which block.
MUTATED = ["proto/src/picker/**", "proto/src/choke.rs", "proto/src/peer/**", "proto/src/store/**"]
# Ready scenarios that are run after the seeds where those catch nothing: all but the large ones.
LARGE = ["flash-crowd-100", "flash-crowd-1000", "free-riders"]
# A run that takes this many seconds of CPU time, some fifty times what one needs, goes in circles.
CPU_LIMIT = 60

# A run of the simulator: what it is called, and the words of its command.
Run = namedtuple("Run", "name words")


def main():
    options = parse()
    prepare()
    if not build():
        sys.exit("the tree does not build without a bug")
    runs = [Run(f"seed {seed}", ["--draw", seed]) for seed in range(1, options.seeds + 1)]
    runs += [Run(path.stem, [path]) for path in sorted((ROOT / "sim/scenarios").glob("*.toml"))]
    runs = [run for run in runs if run.name not in LARGE]
    with ThreadPoolExecutor(options.jobs) as pool:
        innocent = first_failure(pool, options, runs)
        if innocent:
            sys.exit(f"without a bug {innocent[0].name} fails: {innocent[1]}")
        bugs = mutants(options) if options.mutants else planted(options)
        results = [hunt(pool, options, bug, runs) for bug in bugs]
    conclude(results, options)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", help="only bugs with one of these in their name")
    parser.add_argument("--seeds", type=int, default=50, help="how many seeds to try (50)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at once")
    parser.add_argument("--backend", default="direct", help="turmoil or direct (direct)")
    parser.add_argument("--sample", type=int, help="so many of them, drawn by the date")
    parser.add_argument("--known", action="store_true", help="only those that are known to be caught")
    parser.add_argument("--mutants", type=int, help="so many random mutants in place of the bugs")
    parser.add_argument("--draw", type=int, default=1, help="the seed that mutants are drawn by (1)")
    parser.add_argument("--expect", type=int, default=0, help="the least percentage to be caught")
    return parser.parse_args()


def prepare():
    """Brings the copy of the tree up to date; what is the same stays, so that builds are short."""
    listed = call(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    files = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    for path in [path for path in TREE.rglob("*") if path.is_file()]:
        if str(path.relative_to(TREE)) not in files:
            path.unlink()
    for name in files:
        put(TREE / name, (ROOT / name).read_bytes(), (ROOT / name).stat().st_mode)


def put(path, content, mode=0o644):
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)


def build():
    """Builds the command line; without line tables or link-time optimisation, for speed."""
    command = ["cargo", "build", "--quiet", "--profile", "hunt", "-p", "ripcurrent"]
    command += ["--config", 'profile.hunt.inherits="release"', "--config", 'profile.hunt.lto="off"']
    command += ["--config", "profile.hunt.debug=false", "--config", "profile.hunt.opt-level=1"]
    command += ["--config", "profile.hunt.incremental=true", "--config", "profile.hunt.overflow-checks=true"]
    built = call(command + ["--target-dir", HUNT / "target"], cwd=TREE, check=False)
    return built.returncode == 0


def planted(options):
    """The patches of this folder, as (name, patch)."""
    bugs = [(path.stem, path.read_text()) for path in sorted(HERE.glob("*.patch"))]
    if options.known:
        bugs = [bug for bug in bugs if "\nCaught by" in bug[1]]
    if options.names:
        bugs = [bug for bug in bugs if any(name in bug[0] for name in options.names)]
    if options.sample:
        day = datetime.date.today().toordinal()
        bugs = sorted(random.Random(day).sample(bugs, min(options.sample, len(bugs))))
    return bugs


def mutants(options):
    """Random mutants of the rooms that decide, as (name, patch)."""
    command = ["cargo", "mutants", "--list", "--diff", "--json", "--package", "ripcurrent-proto"]
    for pattern in MUTATED:
        command += ["--file", pattern]
    found = json.loads(call(command, cwd=TREE).stdout)
    # Whole bodies replaced are caught by anything; an operator is what a slip of the hand changes.
    operators = [mutant for mutant in found if mutant["genre"] in ("BinaryOperator", "UnaryOperator")]
    operators = [mutant for mutant in operators if "check_invariant" not in mutant["name"]]
    drawn = random.Random(options.draw).sample(operators, min(options.mutants, len(operators)))
    return [(mutant["name"], as_patch(mutant)) for mutant in sorted(drawn, key=lambda one: one["name"])]


def as_patch(mutant):
    """The change of a mutant, under the name of its file."""
    changed = mutant["diff"].split("\n", 2)[2]
    return f"--- a/{mutant['file']}\n+++ b/{mutant['file']}\n{changed}"


def hunt(pool, options, bug, runs):
    """Plants one bug; (name, check that caught it or None, number of runs it took)."""
    name, patch = bug
    changed = apply(patch)
    try:
        caught = first_failure(pool, options, runs) if build() else (None, "does not build")
    finally:
        for path, before in changed.items():
            path.write_bytes(before)
    run, check = caught or (None, None)
    if run:
        print(f"{name}: {check}, {run.name}", flush=True)
    else:
        print(f"{name}: {check or 'NOT CAUGHT'}", flush=True)
    return name, check, runs.index(run) + 1 if run else len(runs)


def apply(patch):
    """Applies a patch to the copy; the files that it changes as they were."""
    names = re.findall(r"^\+\+\+ b/(\S+)", patch, re.MULTILINE)
    before = {TREE / name: (TREE / name).read_bytes() for name in names}
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(HUNT)}
    command = ["git", "apply", "--recount", "-"]
    subprocess.run(command, cwd=TREE, env=environment, input=patch, text=True, check=True)
    return before


def first_failure(pool, options, runs):
    """The first run that fails, with the check that it fails by."""
    for at in range(0, len(runs), options.jobs):
        batch = runs[at : at + options.jobs]
        outcomes = pool.map(lambda run: (run, failure(options, run)), batch)
        failures = [outcome for outcome in outcomes if outcome[1]]
        if failures:
            return failures[0]
    return None


def failure(options, run):
    """What is wrong with one run; None if nothing is."""
    command = [BINARY, "sim", *run.words, "--backend", options.backend]
    ended = call(command, check=False, preexec_fn=limit)
    if ended.returncode == 0:
        return None
    if ended.returncode < 0:
        spins = -ended.returncode == signal.SIGXCPU
        return "goes in circles" if spins else f"signal {-ended.returncode}"
    panic = re.search(r"panicked at (\S+):\d+:\d+", ended.stderr)
    if panic:
        return f"panic in {panic[1]}"
    return check_of(ended.stderr) or f"exit code {ended.returncode}"


def check_of(told):
    """The check behind the failures of a run, without the host and the time: a rule or an invariant
    before what merely follows from it."""
    failures = "\n".join(re.findall(r"^FAILED: (.+)$", told, re.MULTILINE))
    named = re.search(r" broke a rule at [^\n]*?: ([a-z-]+) ?[(:]", failures)
    named = named or re.search(r"^\S+s, \S+: ([a-z-]+): ", failures, re.MULTILINE)
    if named:
        return named[1]
    for words in ("did not get everything", "has wrong data"):
        if words in failures:
            return words
    return failures.split("\n")[0]


def limit():
    # Past the first the run is told to end, past the second it is ended.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT + 5))


def call(command, check=True, **settings):
    settings.setdefault("cwd", ROOT)
    command = [str(word) for word in command]
    return subprocess.run(command, capture_output=True, text=True, check=check, **settings)


def conclude(results, options):
    real = [result for result in results if result[1] != "does not build"]
    caught = [result for result in real if result[1]]
    print(f"\n{len(caught)} of {len(real)} caught", end="")
    counts = sorted(count for _, _, count in caught)
    print(f", half of them within {counts[len(counts) // 2]} runs" if counts else "")
    by_check = {}
    for _, check, _ in caught:
        by_check[check] = by_check.get(check, 0) + 1
    for check, count in sorted(by_check.items(), key=lambda entry: -entry[1]):
        print(f"  {count:3} {check}")
    if len(caught) * 100 < options.expect * len(real):
        sys.exit(f"fewer than {options.expect} % were caught")


if __name__ == "__main__":
    main()
