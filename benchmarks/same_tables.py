"""Whether another commit and this tree make the same tables of the same answers, digit for digit.

`python -m benchmarks.same_tables REVISION`: both fill an installation from one sandbox with the
same clock, a year of four generated networks and, with `--recordings`, the recorded year of
AirQino; then every row of every table is compared, and the hold-out scores of the forecast models.
Times of work (when a thing was received or computed) are left out. `--renamed old=new` names a
quality test that has another name now. Ends with an error where a row differs.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb

from benchmarks.commits import Side, both_sides
from benchmarks.common import (
    aq,
    four_networks,
    machine,
    networks_file,
    own_sandbox,
)

FIRST, NOW = date(2024, 3, 1), datetime(2025, 6, 18, 9, 20, tzinfo=UTC)
TABLES = ("stations", "hourly_readings", "daily_averages", "forecasts")
TIMES_OF_WORK = ("pulled_at", "first_seen", "last_seen", "issued_at")
RECORDED = ("283164601", "283181971")


@dataclass(frozen=True)
class Work:
    """A backfill, both days included."""

    first: date
    last: date
    forecasts: bool = False


@dataclass(frozen=True)
class Installation:
    """One side's home, filled from a sandbox that both share."""

    side: Side
    home: Path
    settings: dict[str, str]

    def run(self, *arguments: str, into: Path | None = None) -> None:
        """The side's `aq`; its standard output goes to `into` or nowhere."""
        with (into or Path("/dev/null")).open("wb") as stream:
            done = subprocess.run(
                [aq(), *arguments],
                env={**self.side.environment, "AQ_HOME": str(self.home), **self.settings},
                stdout=stream,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        if done.returncode:
            raise SystemExit(f"{self.side.name}: aq {' '.join(arguments)}: {done.stderr}")

    def backfill(self, work: Work) -> None:
        """All enabled networks over the days."""
        extra = ["--forecasts"] if work.forecasts else []
        self.run("backfill", "--start", f"{work.first}", "--end", f"{work.last}", *extra)

    def export(self, network: str, table: str) -> Path:
        """A table as CSV, whose numbers are read back as the same numbers."""
        path = self.home / f"{network}.{table}.csv"
        without = ", ".join(f"'{name}'" for name in TIMES_OF_WORK)
        self.run(
            *("query", "--format", "csv"),
            f"SELECT COLUMNS(c -> c NOT IN ({without})) FROM {network}.{table}",
            into=path,
        )
        return path


def compare(
    old: Path, new: Path, renamed: dict[str, str], connection: duckdb.DuckDBPyConnection
) -> tuple[int, int, int]:
    """Rows of the old file, and those that the one or the other has alone."""
    columns = "*"
    if renamed and "reasons" in old.open().readline():
        reasons = "reasons"
        for before, after in renamed.items():
            reasons = f"replace({reasons}, '{before}', '{after}')"
        columns = f"* REPLACE ({reasons} AS reasons)"
    read = "read_csv('{}', all_varchar = true, header = true)"
    before = f"SELECT {columns} FROM {read.format(old)}"
    after = f"SELECT * FROM {read.format(new)}"
    counts = [
        f"(SELECT count(*) FROM ({query}))"
        for query in (before, f"{before} EXCEPT ALL {after}", f"{after} EXCEPT ALL {before}")
    ]
    rows, gone, come = connection.execute(f"SELECT {', '.join(counts)}").fetchone() or (0, 0, 0)
    return rows, gone, come


def hold_out(home: Path, connection: duckdb.DuckDBPyConnection) -> str:
    """A query of what both layouts of the forecast models tell in plain columns."""
    files = home / "objects" / "*" / "forecast_models" / "*" / "models.parquet"
    described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet('{files}')").fetchall()
    plain = sorted(row[0] for row in described if "STRUCT" not in row[1] and "MAP" not in row[1])
    return f"SELECT {', '.join(plain)} FROM read_parquet('{files}')"


def differences(
    pair: tuple[Installation, Installation],
    networks: tuple[str, ...],
    renamed: dict[str, str],
    *,
    with_models: bool,
) -> Iterator[str]:
    """A line for every table that differs; prints one for each that was compared."""
    connection = duckdb.connect()
    for network in networks:
        for table in TABLES if with_models else TABLES[:3]:
            old, new = (one.export(network, table) for one in pair)
            rows, gone, come = compare(old, new, renamed, connection)
            print(f"  {network}.{table:18}{rows:12,} rows, {gone} gone, {come} come", flush=True)
            if not rows or gone or come:
                yield f"{network}.{table}: {rows} rows, {gone} gone, {come} come"
    if with_models:
        before, after = (hold_out(one.home, connection) for one in pair)
        shared = [c for c in _columns(before) if c in _columns(after)]
        queries = [f"SELECT {', '.join(shared)} FROM ({query})" for query in (before, after)]
        row = connection.execute(
            f"SELECT (SELECT count(*) FROM ({queries[0]})), (SELECT count(*) FROM "
            f"({queries[0]} EXCEPT ALL {queries[1]}))"
        ).fetchone() or (0, 0)
        print(f"  forecast_models ({len(shared)} columns) {row[0]:,} rows, {row[1]} differ")
        if not row[0] or row[1]:
            yield f"forecast_models: {row[1]} of {row[0]} rows differ"


def _columns(query: str) -> list[str]:
    return query.removeprefix("SELECT ").split(" FROM ")[0].split(", ")


def main() -> None:
    """Fill, compare, print; fail where a row differs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("revision")
    options.add_argument("--stations", type=int, default=3, help="of each network")
    options.add_argument("--days", type=int, default=365)
    options.add_argument("--forecast-days", type=int, default=14)
    options.add_argument("--recordings", type=Path, help="folder with AirQino's recorded answers")
    options.add_argument("--renamed", action="append", default=[], metavar="OLD=NEW")
    given = options.parse_args()
    renamed = dict(pair.split("=") for pair in given.renamed)
    differing: list[str] = []
    print(f"{given.revision} and this tree ({machine()})")
    with (
        tempfile.TemporaryDirectory(prefix="aq-same-") as name,
        both_sides(given.revision) as sides,
    ):
        folder = Path(name)
        last = FIRST + timedelta(days=given.days - 1)
        entries = four_networks(given.stations)
        networks = networks_file(folder, entries, FIRST - timedelta(days=1))
        with own_sandbox(given.stations, NOW) as sandbox:
            settings = {**sandbox.environment, "AQ_NETWORKS": str(networks)}
            print(f"four networks, {given.stations} stations each, {given.days} days")
            since = last - timedelta(days=given.forecast_days - 1)
            pair = _filled(
                sides, folder, settings, Work(FIRST, last), Work(since, last, forecasts=True)
            )
            differing += differences(pair, tuple(entries), renamed, with_models=True)
        if given.recordings:
            differing += _recorded(sides, folder / "recorded", given.recordings, renamed)
    if differing:
        raise SystemExit("\n".join(differing))
    print("every table equal")


def _recorded(
    sides: tuple[Side, Side], folder: Path, recordings: Path, renamed: dict[str, str]
) -> Iterator[str]:
    folder.mkdir()
    overrides = {station: {"timezone": "Africa/Abidjan"} for station in RECORDED}
    entry = {"stations": list(RECORDED), "overrides": overrides}
    networks = networks_file(folder, {"airqino": entry}, date(2022, 12, 1))
    with own_sandbox(1, replay=recordings) as sandbox:
        settings = {**sandbox.environment, "AQ_NETWORKS": str(networks)}
        print("AirQino's recorded year, two stations")
        year = Work(date(2023, 9, 10), date(2024, 9, 9))
        forecasts = Work(date(2024, 8, 1), date(2024, 8, 14), forecasts=True)
        pair = _filled(sides, folder, settings, year, forecasts)
        yield from differences(pair, ("airqino",), renamed, with_models=True)


def _filled(
    sides: tuple[Side, Side], folder: Path, settings: dict[str, str], *works: Work
) -> tuple[Installation, Installation]:
    old, new = (
        Installation(side, folder / f"home{place}", settings) for place, side in enumerate(sides)
    )
    for one in (old, new):
        for work in works:
            one.backfill(work)
    return old, new


if __name__ == "__main__":
    main()
