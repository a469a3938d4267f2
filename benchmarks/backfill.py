"""A ranged backfill as one run, against a run a partition and against a plain loop.

The plain loop calls the same functions on the same stores without Dagster. A run a partition is
Dagster's default: each in a process of its own; measured on a sample of days and scaled.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date, timedelta

from benchmarks.common import aq, machine, measure, platform_on_sandbox

FASTER_THAN_RUNS = 50.0
SLOWER_THAN_LOOP = 2.0
PEAK_MIB = 2048.0


def plain_loop(first: date, last: date) -> None:
    """Raw pulls to daily averages with nothing but the platform's own functions."""
    import polars as pl

    from aq_resources.services import Services
    from aq_resources.stores.day_files import parquet_bytes
    from aq_resources.stores.raw_pulls import RawPullStore
    from aq_resources.stores.version_reader import VersionReader
    from aq_science.averages import REACH_AFTER, REACH_BEFORE, daily_averages
    from aq_science.readings import hourly_readings
    from aq_science.tables.daily_averages import DAILY_AVERAGES
    from aq_science.versions import fold_versions
    from aq_science.windows import Window

    services = Services.from_environment()
    client = services.client("airqino")
    store, window = services.object_store, Window.of_days(first, last)
    pulls = RawPullStore(store, "airqino")
    pulls.append(pull.answer for pull in client.pull(window) if pull.answer is not None)
    reader = VersionReader(pulls, client)
    files = services.files.day_files("airqino", "hourly_readings")
    for part in window.chunks(services.chunk):
        frame = hourly_readings(fold_versions(reader.read(part)), "airqino")
        dated = frame.with_columns(day=pl.col("hour").dt.date())
        by_day = dated.partition_by("day", as_dict=True, include_key=False)
        for day in part.dates:
            store.put(files.key(day), parquet_bytes(by_day.get((day,), frame.clear())))
    zones = dict.fromkeys(services.networks["airqino"].stations, "Africa/Abidjan")
    columns = ["network", "station_id", "parameter", "hour", "value", "flag"]
    for part in window.chunks(services.chunk):
        hourly = files.scan(part.padded(before=REACH_BEFORE, after=REACH_AFTER))
        days = daily_averages(
            hourly.select(columns).collect(), zones, (part.dates[0], part.dates[-1])
        )
        bounds = (part.start.date(), part.end.date())
        services.warehouse.replace("airqino", DAILY_AVERAGES, days, bounds)
    services.close()


def main() -> None:
    """Measure, print the table and the ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--stations", type=int, default=100)
    options.add_argument("--days", type=int, default=3 * 365 + 1)
    options.add_argument("--sample", type=int, default=5, help="days run one by one")
    options.add_argument("--loop", nargs=2, metavar=("FIRST", "LAST"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.loop:
        plain_loop(*(date.fromisoformat(day) for day in given.loop))
        return
    first = date(2023, 1, 1)
    last = first + timedelta(days=given.days - 1)
    print(f"{given.stations} stations, {given.days} days ({machine()})")

    def backfill(start: date, end: date) -> list[str]:
        return [aq(), "backfill", "airqino", "--start", f"{start}", "--end", f"{end}"]

    with platform_on_sandbox(given.stations, first) as environment:
        ranged = measure(backfill(first, last), environment)
    print(f"one ranged run        {ranged.seconds:9.1f} s   peak {ranged.peak_mib:6.0f} MiB")
    with platform_on_sandbox(given.stations, first) as environment:
        command = [sys.executable, "-m", "benchmarks.backfill", "--loop", f"{first}", f"{last}"]
        loop = measure(command, environment)
    print(f"plain loop            {loop.seconds:9.1f} s   peak {loop.peak_mib:6.0f} MiB")
    with platform_on_sandbox(given.stations, first) as environment:
        days = [first + timedelta(days=n) for n in range(given.sample)]
        single = sum(measure(backfill(day, day), environment).seconds for day in days)
    scaled = single / given.sample * given.days
    print(f"a run a partition     {scaled:9.1f} s   ({single / given.sample:.1f} s each, scaled)")
    for name, ratio, aim in (
        ("run a partition / ranged", scaled / ranged.seconds, f">= {FASTER_THAN_RUNS:.0f}"),
        ("ranged / plain loop", ranged.seconds / loop.seconds, f"<= {SLOWER_THAN_LOOP:.0f}"),
        ("peak MiB", ranged.peak_mib, f"< {PEAK_MIB:.0f}"),
    ):
        print(f"{name:26}{ratio:8.2f}   aim {aim}")


if __name__ == "__main__":
    main()
