"""From measurements to medians, ratios, and targets met or missed."""

import dataclasses
import statistics

# What is measured of each run, and how it is called.
COLUMNS = [
    ("cpu_s_per_gib", "CPU-s/GiB", "{:.2f}"),
    ("mib_per_s", "MiB/s", "{:.0f}"),
    ("memory_mib", "peak MiB", "{:.0f}"),
]


@dataclasses.dataclass
class Target:
    """Ours, divided by the best of the others or by the floor, has to be below or above a limit."""

    scenarios: list
    figure: str
    against: str
    limit: float
    is_most: bool = True


DOWNLOADS = ["one-seed", "twenty-seeds"]
TARGETS = [
    Target(DOWNLOADS, "cpu_s_per_gib", "best other", 0.33),
    Target(DOWNLOADS, "cpu_s_per_gib", "floor", 1.25),
    Target(DOWNLOADS, "mib_per_s", "best other", 1.5, is_most=False),
    Target(["small-files"], "cpu_s_per_gib", "best other", 0.4),
    Target(["small-files"], "mib_per_s", "best other", 1.5, is_most=False),
    Target(["seed-one", "seed-eight"], "cpu_s_per_gib", "best other", 0.6),
    Target(["recheck"], "cpu_s_per_gib", "best other", 0.35),
    Target(["recheck"], "mib_per_s", "best other", 2.0, is_most=False),
]
MEMORY_MIB = 100
IDLE_PEER_BYTES = 4096
IDLE_TORRENTS_MIB, IDLE_TORRENTS_CPU_S = 150, 5

# Of one processor: who takes more than this was the limit.
BUSY = 0.9


class Results:
    """Measurements by scenario and contender, one for each round; `None` where it failed."""

    def __init__(self, contenders):
        self.contenders = contenders
        self.scenarios = {}

    def add(self, scenario, contender, measured):
        self.scenarios.setdefault(scenario, {}).setdefault(contender, []).append(measured)

    def values(self, scenario, contender, figure):
        rounds = self.scenarios.get(scenario, {}).get(contender, [])
        return [measured.get(figure) if measured else None for measured in rounds]

    def median(self, scenario, contender, figure):
        values = [value for value in self.values(scenario, contender, figure) if value is not None]
        return statistics.median(values) if values else None

    def best_other(self, scenario, figure):
        """The client that is neither ours nor the floor with the best median."""
        medians = {
            name: self.median(scenario, name, figure)
            for name in self.scenarios[scenario]
            if name != "floor" and not name.startswith("ripcurrent")
        }
        medians = {name: value for name, value in medians.items() if value is not None}
        if not medians:
            return None
        choose = max if figure == "mib_per_s" else min
        return choose(medians, key=medians.get)

    def ratios(self, scenario, one, other, figure):
        """Within each round in which both did it."""
        pairs = zip(self.values(scenario, one, figure), self.values(scenario, other, figure))
        return [a / b for a, b in pairs if a is not None and b is not None]


def spread(values, form):
    """Median, least and most."""
    values = [value for value in values if value is not None]
    if not values:
        return "failed"
    least, middle, most = min(values), statistics.median(values), max(values)
    return f"{form.format(middle)} ({form.format(least)} to {form.format(most)})"


def table(results, scenario):
    """Lines of text."""
    heads = "".join(f"{head:>24}" for _, head, _ in COLUMNS)
    yield f"{scenario:<24}{heads}"
    for name in results.scenarios[scenario]:
        cells = [spread(results.values(scenario, name, key), form) for key, _, form in COLUMNS]
        yield f"  {name:<22}" + "".join(f"{cell:>24}" for cell in cells)
    apart = [measured for measured in results.scenarios[scenario].get("floor", []) if measured]
    if apart:
        parts = (
            f"{part} {statistics.median(measured[part] for measured in apart):.3f}"
            for part in ("receive", "hash", "write")
        )
        yield f"  floor in parts: {', '.join(parts)} CPU-s/GiB, hashed by {apart[0]['hashed_by']}"


def judge(results, ours):
    """One verdict for each target that can be judged."""
    for target in TARGETS:
        for scenario in target.scenarios:
            if scenario not in results.scenarios:
                continue
            other = target.against
            if other == "best other":
                other = results.best_other(scenario, target.figure)
            ratios = results.ratios(scenario, ours, other, target.figure) if other else []
            if not ratios:
                continue
            ratio = statistics.median(ratios)
            met = ratio <= target.limit if target.is_most else ratio >= target.limit
            yield {
                "scenario": scenario,
                "figure": target.figure,
                "against": target.against,
                "other": other,
                "ratio": ratio,
                "least": min(ratios),
                "most": max(ratios),
                "limit": target.limit,
                "is_most": target.is_most,
                "met": met,
                "note": "" if met else limit_of(results, scenario, ours, target.figure),
            }


def limit_of(results, scenario, ours, figure):
    """What may have held ours up where it is not as fast as it should be."""
    if figure != "mib_per_s":
        return ""
    busy = [value for value in results.values(scenario, ours, "load_busy") if value is not None]
    if busy and statistics.median(busy) > BUSY:
        return "the load peer was the limit"
    floor, own = (results.median(scenario, name, figure) for name in ("floor", ours))
    if floor and own and floor < 1.25 * own:
        return f"the machine was the limit: the floor program comes to {floor:.0f} MiB/s"
    return ""


def verdict(told):
    """A verdict in words."""
    sign = "<=" if told["is_most"] else ">="
    figure = dict((key, head) for key, head, _ in COLUMNS)[told["figure"]]
    other = told["other"] if told["against"] == "floor" else f"best other ({told['other']})"
    text = f"{told['scenario']}: {figure} / {other} {told['ratio']:.2f}"
    text += f" ({told['least']:.2f} to {told['most']:.2f}), wanted {sign} {told['limit']}: "
    text += "met" if told["met"] else "MISSED"
    return text + (f" ({told['note']})" if told["note"] else "")


def peak(results, ours):
    """The most memory that ours took in any scenario, in MiB."""
    peaks = (
        value
        for scenario in results.scenarios
        for value in results.values(scenario, ours, "memory_mib")
        if value is not None
    )
    return max(peaks, default=None)


def idle_lines(idle):
    """Verdicts on memory."""
    for name, weighed in idle.items():
        if weighed is None:
            yield f"{name}: failed: MISSED"
    if peers := idle.get("idle-peers"):
        most = max(peers["served_bytes"], peers["fetched_bytes"])
        yield (
            f"idle-peers: {peers['served_bytes']:.0f} bytes each of {peers['peers']} where we seed,"
            f" {peers['fetched_bytes']:.0f} where we fetch, wanted <= {IDLE_PEER_BYTES}: "
            + ("met" if most <= IDLE_PEER_BYTES else "MISSED")
        )
    if torrents := idle.get("idle-torrents"):
        again = torrents["restart"]
        met = again["peak_mib"] <= IDLE_TORRENTS_MIB and again["cpu_s"] <= IDLE_TORRENTS_CPU_S
        yield (
            f"idle-torrents: a restart with {torrents['torrents']} takes {again['cpu_s']:.2f} CPU-s,"
            f" {again['resident_mib']:.0f} MiB (at most {again['peak_mib']:.0f}), wanted"
            f" <= {IDLE_TORRENTS_CPU_S} and {IDLE_TORRENTS_MIB}: " + ("met" if met else "MISSED")
        )
