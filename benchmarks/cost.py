"""CPU of a day's pull and of three years in two commits: `python -m benchmarks.cost REVISION`.

The day is one `aq backfill` of all four networks, the three years are AirQino's alone; each from an
empty home, the commits in turn, against one sandbox. CPU seconds of the command are compared, so
that other work on the machine matters little. Aim: at most 1.03.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median

from benchmarks.commits import Side, both_sides
from benchmarks.common import aq, four_networks, machine, networks_file, own_sandbox

NOW = datetime(2025, 6, 18, 9, 20, tzinfo=UTC)
START = date(2022, 5, 1)


@dataclass(frozen=True)
class Work:
    """A backfill of so many stations of each of these networks, both days included."""

    title: str
    networks: tuple[str, ...]
    stations: int
    first: date
    last: date


WORKS = (
    Work(
        "a day of four networks",
        ("airqino", "airqo", "irceline", "openaq"),
        20,
        date(2025, 6, 16),
        date(2025, 6, 16),
    ),
    Work("three years of AirQino", ("airqino",), 20, date(2022, 6, 1), date(2025, 5, 31)),
)


def cpu_seconds(side: Side, home: Path, settings: Mapping[str, str], work: Work) -> float:
    """CPU of the side's command from an empty home.

    Args:
        side: The commit.
        home: A folder that is not there yet, and is gone afterwards.
        settings: Those of the sandbox.
        work: What is filled.

    Returns:
        User and system seconds.

    Raises:
        SystemExit: The command failed.
    """
    days = ("--start", str(work.first), "--end", str(work.last))
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [aq(), "backfill", *days],
            env={**side.environment, **settings, "AQ_HOME": str(home)},
            stdout=said,
            stderr=said,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{side.name}: aq backfill failed\n{said.read()}")
    shutil.rmtree(home)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure in turn, print medians and their ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("revision")
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    print(f"CPU seconds, {given.revision} and this tree, {given.rounds} rounds ({machine()})")
    with tempfile.TemporaryDirectory(prefix="aq-cost-") as name, both_sides(given.revision) as both:
        folder = Path(name)
        for work in WORKS:
            entries = {net: four_networks(work.stations)[net] for net in work.networks}
            file = networks_file(folder, entries, START)
            with own_sandbox(work.stations, NOW) as sandbox:
                settings = {**sandbox.environment, "AQ_NETWORKS": str(file)}
                found: tuple[list[float], list[float]] = ([], [])
                # Twice each and back, so that a machine that slows down does so for both.
                for index in (0, 1, 1, 0) * given.rounds:
                    used = cpu_seconds(both[index], folder / "home", settings, work)
                    found[index].append(used)
            before, after = map(median, found)
            print(f"  {work.title}: {before:.2f}, {after:.2f}, ratio {after / before:.3f}")


if __name__ == "__main__":
    main()
