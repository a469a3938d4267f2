"""Whether this tree is slower than another commit: `make bench-check AGAINST=v0.3.0`.

Runs small forms of the benchmarks of both trees in turn and compares the fastest of each line,
since whatever else a machine does makes none faster. A line that is slower, or larger in memory,
by more than the limit is measured again before it counts; then the command ends with 1.
`--record` appends this tree's numbers to `history.csv`, which a release does once.
"""

from __future__ import annotations

import argparse
import csv
import platform
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.against import run
from benchmarks.commits import HERE, Side, both_sides
from benchmarks.common import machine

HISTORY = Path(__file__).with_name("history.csv")
COLUMNS = ("date", "version", "commit", "machine", "benchmark", "what", "number")
LIMIT = 1.10
# A difference of so many seconds or MiB is none, whatever its ratio.
SLACK = 0.05
WORKS = {
    "backfill": "--stations 20 --days 180 --sample 1",
    "daily_averages": "--readings 2000000",
    "forecasting": "--stations 50 --hours 48",
    "commands": "--readings 0.5 --days 20 --repeat 3",
}


class Line(NamedTuple):
    """A number that a benchmark prints."""

    module: str
    what: str


class Compared(NamedTuple):
    """The fastest of both sides."""

    line: Line
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """Above 1 where this tree is slower."""
        return self.after / self.before if self.before else 1.0

    def slower(self, limit: float) -> bool:
        """Whether the difference counts."""
        return self.ratio > limit and self.after - self.before > SLACK


class Measurements:
    """Every number of both sides so far."""

    def __init__(self, sides: tuple[Side, Side]) -> None:
        self._sides = sides
        self._found: dict[Line, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))

    def measure(self, modules: Sequence[str]) -> None:
        """Run some benchmarks once on both sides."""
        for module in modules:
            for index, side in enumerate(self._sides):
                for what, number in run(side, module, WORKS[module].split()).items():
                    self._found[Line(module, what)][index].append(number)

    def compared(self) -> list[Compared]:
        """What both sides print, in the order in which it was met."""
        return [
            Compared(line, min(before), min(after))
            for line, (before, after) in self._found.items()
            if before and after
        ]


def main() -> None:
    """Measure, print the table, and end with 1 where something became slower."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("revision", help="what to compare with")
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--limit", type=float, default=LIMIT)
    options.add_argument("--only", choices=WORKS, action="append", help="may be repeated")
    options.add_argument("--record", action="store_true", help=f"append to {HISTORY.name}")
    given = options.parse_args()
    modules = given.only or list(WORKS)
    print(f"{given.revision} and this tree ({machine()})", flush=True)
    with both_sides(given.revision) as sides:
        measurements = Measurements(sides)
        for _ in range(given.rounds):
            measurements.measure(modules)
        for _ in range(given.rounds):
            slower = [one for one in measurements.compared() if one.slower(given.limit)]
            measurements.measure([m for m in modules if m in {one.line.module for one in slower}])
    print(f"{'':60}{given.revision[:12]:>12}{'this tree':>12}{'ratio':>8}")
    for one in measurements.compared():
        named = f"{one.line.module}: {one.line.what}"
        mark = "  slower" if one.slower(given.limit) else ""
        print(f"{named:60}{one.before:12.2f}{one.after:12.2f}{one.ratio:8.3f}{mark}")
    if given.record:
        record(measurements.compared())
    slower = [one for one in measurements.compared() if one.slower(given.limit)]
    raise SystemExit(f"{len(slower)} slower by more than {given.limit - 1:.0%}" if slower else 0)


def record(found: Sequence[Compared]) -> None:
    """Append this tree's numbers, with the machine in words."""
    memory = psutil.virtual_memory().total / 2**30
    words = f"{platform.system()}, {_processor()}, {psutil.cpu_count()} cores, {memory:.0f} GiB"
    commit = subprocess.run(
        ["git", "-C", str(HERE), "rev-parse", "--short=12", "HEAD"],  # noqa: S607  # as found
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()
    head = (datetime.now(UTC).date().isoformat(), version("aq-platform"), commit, words)
    new = not HISTORY.exists()
    with HISTORY.open("a", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        if new:
            rows.writerow(COLUMNS)
        rows.writerows(
            (*head, one.line.module, one.line.what, round(one.after, 3)) for one in found
        )


def _processor() -> str:
    """The processor's name where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
