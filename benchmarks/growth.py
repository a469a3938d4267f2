"""How cost grows: with the stations of a day, and with the years of a backfill.

A day: `aq backfill` of one day in an installation that has the day before, so that databases and
tables are there. Years: `aq backfill` of a few stations from nothing. CPU is that of the command
alone, the sandbox has its own process. `--plot` draws what the CSV has, of this run or of others.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import aq, machine, platform_on_sandbox

LAST = date(2025, 12, 31)
YEAR = 365
IMAGE = Path(__file__).parents[1] / "docs" / "images" / "growth.svg"


class Cost(NamedTuple):
    """What a command took: seconds by the clock and of CPU, and its peak memory (MiB)."""

    work: str
    stations: int
    days: int
    seconds: float
    cpu: float
    peak_mib: float


def cost(work: str, stations: int, days: int, environment: Mapping[str, str]) -> Cost:
    """Load so many days up to the last.

    Args:
        work: What the row is called.
        stations: How many the installation has.
        days: How many to load.
        environment: The installation's.

    Returns:
        What that took.
    """
    first = LAST - timedelta(days=days - 1)
    command = [aq(), "backfill", "airqino", "--start", f"{first}", "--end", f"{LAST}"]
    began = time.perf_counter()
    with subprocess.Popen(command, env=dict(environment), stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    seconds = time.perf_counter() - began
    cpu = used.ru_utime + used.ru_stime
    return Cost(
        work, stations, days, round(seconds, 1), round(cpu, 1), round(used.ru_maxrss / 1024)
    )


def costs(stations: list[int], years: list[int], few: int) -> Iterator[Cost]:
    """A row for each size, smallest first.

    Args:
        stations: Sizes of a network of which a day is loaded.
        years: Lengths of a backfill.
        few: Stations of those backfills.
    """
    for count in sorted(stations):
        with platform_on_sandbox(count, LAST - timedelta(days=1)) as environment:
            before = [f"{LAST - timedelta(days=1)}"] * 2
            command = [aq(), "backfill", "airqino", "--start", before[0], "--end", before[1]]
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
            yield cost("a day", count, 1, environment)
    for length in sorted(years):
        with platform_on_sandbox(few, LAST - timedelta(days=length * YEAR)) as environment:
            yield cost("years", few, length * YEAR, environment)


def draw(rows: list[Cost], image: Path) -> None:
    """CPU seconds and peak memory over stations, and over years."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for place, (work, unit) in enumerate((("a day", "stations"), ("years", "years")), 1):
        of_work = [row for row in rows if row.work == work]
        sizes = [row.stations if work == "a day" else row.days / YEAR for row in of_work]
        left = figure.add_subplot(1, 2, place, xlabel=unit, ylabel="CPU seconds")
        left.plot(sizes, [row.cpu for row in of_work], "o-", color="tab:blue")
        left.set(xscale="log" if work == "a day" else "linear", title=work)
        right = left.twinx()
        right.plot(sizes, [row.peak_mib for row in of_work], "s--", color="tab:orange")
        right.set(ylabel="peak MiB (dashed)")
        for axes in (left, right):
            axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
    figure.savefig(image, metadata={"Date": None})


@contextmanager
def _written(path: Path) -> Iterator[csv.DictWriter[str]]:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, Cost._fields, lineterminator="\n")
        writer.writeheader()
        yield writer


def main() -> None:
    """Measure, print a table, write the CSV and the plot."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--stations", type=int, nargs="*", default=[10, 100, 1_000, 5_000])
    options.add_argument("--years", type=int, nargs="*", default=[1, 3, 10])
    options.add_argument("--few", type=int, default=3, help="stations of the years")
    options.add_argument("--csv", type=Path, default=Path("growth.csv"))
    options.add_argument("--plot", action="store_true", help="draw the CSV; measure nothing")
    given = options.parse_args()
    if not given.plot:
        print(machine())
        print("| work | stations | days | by the clock | CPU | peak |\n|---|---|---|---|---|---|")
        with _written(given.csv) as writer:
            for row in costs(given.stations, given.years, given.few):
                writer.writerow(row._asdict())
                print(
                    f"| {row.work} | {row.stations:,} | {row.days:,} | {row.seconds} s "
                    f"| {row.cpu} s | {row.peak_mib:.0f} MiB |",
                    flush=True,
                )
    with given.csv.open(newline="") as stream:
        rows = [
            Cost(
                row["work"],
                int(row["stations"]),
                int(row["days"]),
                *(float(row[name]) for name in ("seconds", "cpu", "peak_mib")),
            )
            for row in csv.DictReader(stream)
        ]
    draw(rows, IMAGE)


if __name__ == "__main__":
    main()
