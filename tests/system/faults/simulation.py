"""A week of four networks in which one number decides all that goes wrong.

`python -m tests.system.faults.simulation --seeds 100` plays a hundred of them; a failure prints
the seed, and `--first SEED --seeds 1` plays it again.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from tests.system.faults import raw_checker
from tests.system.faults.conftest import READINGS, differences
from tests.system.faults.test_four_networks import COUNT, ENTRIES, NETWORKS, NOW
from tests.system.integration.harness import Installation

FIRST, DAYS = date(2025, 5, 6), 7
WEEK = ("--start", str(FIRST), "--end", str(FIRST + timedelta(days=DAYS - 1)))
ODD: tuple[dict[str, Any], ...] = (
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 429, "retry_after": 0.01},
    {"kind": "disconnect"},
    {"kind": "truncate"},
    {"kind": "html"},
    {"kind": "empty"},
)
# Hours by which the machine's clock is off.
CLOCKS = (0, 0, 0, 2, 200, -30)
Servers = Mapping[str, RunningSandbox]
Tables = dict[str, pl.DataFrame]


@contextmanager
def four_servers() -> Iterator[Servers]:
    """A server for each network, so that one can be ill alone."""
    with ExitStack() as stack:
        config = SandboxConfig(stations=COUNT, now=NOW)
        yield {name: stack.enter_context(running_sandbox(config)) for name in NETWORKS}


def installation(folder: Path, servers: Servers) -> Installation:
    """An installation of the four networks that has done nothing yet."""
    settings = {
        name: value
        for network, server in servers.items()
        for name, value in server.environment.items()
        if name.startswith(f"AQ_{network.upper()}_")
    }
    entries = {name: {"start_date": str(FIRST), **entry} for name, entry in ENTRIES.items()}
    return (
        Installation(folder)
        .with_networks(**entries)
        # Small steps, and one form of OpenAQ's answers to check.
        .with_settings(**settings)
        .with_settings(AQ_HTTP_ATTEMPTS="2", AQ_CHUNK_DAYS="2", AQ_OPENAQ_ARCHIVE="none")
    )


def undisturbed(one: Installation) -> Tables:
    """The tables of a fresh installation to which nothing happens."""
    one.succeed("backfill", *WEEK)
    found = tables(one)
    assert opinions(one, found) == []
    assert all(len(found[f"{name}.hourly_readings"]) > 24 * DAYS for name in NETWORKS)
    return found


def tables(one: Installation) -> Tables:
    """Every network's tables without the times of work."""
    return {f"{net}.{name}": one.table(name, network=net) for net in NETWORKS for name in READINGS}


def opinions(one: Installation, found: Tables) -> list[str]:
    """What the independent reading of the raw pulls finds wrong."""
    return [
        f"{name}: {line}"
        for name in NETWORKS
        for line in raw_checker.differences(
            one.home / "objects" / name, name, found[f"{name}.hourly_readings"]
        )
    ]


class Simulation:
    """What happens under one seed.

    Args:
        seed: Decides all of it.
        one: A fresh installation.
        servers: The networks'.
    """

    def __init__(self, seed: int, one: Installation, servers: Servers) -> None:
        self._dice = random.Random(seed)
        self._one, self._servers = one, servers
        self.happened: list[str] = []

    def play(self) -> None:
        """Some commands, most of them disturbed; then the operator's recovery."""
        for _ in range(self._dice.randrange(3, 6)):
            self._disturb()
            self._work()
            if self._dice.random() < 0.4:
                self._damage()
        self._recover()

    def _disturb(self) -> None:
        for name, server in self._servers.items():
            server.clear()
            if self._dice.random() < 0.5:
                fault = {**self._dice.choice(ODD), "times": self._dice.randrange(1, 5)}
                server.inject(**fault)
                self.happened.append(f"{name}: {fault}")

    def _work(self) -> None:
        commands = [self._command() for _ in range(self._dice.choice((1, 1, 2)))]
        kill_after = self._dice.choice((None, None, self._dice.randrange(0, 40)))
        for one, arguments in commands:
            self.happened.append(f"aq {' '.join(arguments)}, AQ_CLOCK {one.settings['AQ_CLOCK']}")
        if kill_after is not None:
            self.happened.append(f"the first is killed once {kill_after} files are stored")
        begun = self._stored()
        with ExitStack() as stack:
            running = [stack.enter_context(one.begin(*arguments)) for one, arguments in commands]
            if kill_after is not None:
                while running[0].poll() is None and self._stored() < begun + kill_after:
                    time.sleep(0.002)
                running[0].kill()
            for process in running:
                _, said = process.communicate()
                assert "Traceback" not in said, said

    def _command(self) -> tuple[Installation, tuple[str, ...]]:
        names = self._dice.sample(NETWORKS, self._dice.randrange(1, len(NETWORKS) + 1))
        first = self._dice.randrange(DAYS)
        last = self._dice.randrange(first, DAYS)
        days = [str(FIRST + timedelta(days=n)) for n in (first, last)]
        shown = (NOW + timedelta(hours=self._dice.choice(CLOCKS))).isoformat()
        one = self._one.with_settings(AQ_CLOCK=f"{shown}/{shown}/0")
        return one, ("backfill", *names, "--start", days[0], "--end", days[1])

    def _stored(self) -> int:
        folders = (self._one.home / "objects", self._one.home / "warehouse")
        return sum(path.is_file() for folder in folders for path in folder.rglob("*"))

    def _damage(self) -> None:
        patterns = ("*/raw_pulls/*/*.zst", "*/hourly_readings/*/*.parquet")
        files = [path for one in patterns for path in (self._one.home / "objects").glob(one)]
        files += (self._one.home / "warehouse").glob("*/daily_averages/*.parquet")
        if not files:
            return
        path = self._dice.choice(sorted(files))
        how = self._dice.choice(("cut", "flip", "lose"))
        self.happened.append(f"{how} {path.relative_to(self._one.home)}")
        data = bytearray(path.read_bytes())
        if how == "lose":
            path.unlink()
        elif how == "cut" or not data:
            path.write_bytes(data[: self._dice.randrange(len(data) + 1)])
        else:
            data[self._dice.randrange(len(data))] ^= 1 << self._dice.randrange(8)
            path.write_bytes(data)

    def _recover(self) -> None:
        """As docs/operating.md says: what cannot be made again is moved away and pulled anew."""
        for server in self._servers.values():
            server.clear()
        said = self._one.run("doctor", "--deep").stdout
        for path in (self._one.home / "objects").glob("*/raw_pulls/*/*.zst"):
            if f"{path} is damaged" in said:
                path.unlink()
        self._one.run("doctor", "--deep")
        self._one.succeed("backfill", *WEEK)


def faults_of(seed: int, folder: Path, servers: Servers, expected: Tables) -> list[str]:
    """Play a seed.

    Args:
        seed: The number that decides.
        folder: For the installation.
        servers: The networks'.
        expected: The tables of the undisturbed run.

    Returns:
        What is wrong afterwards, preceded by what had happened; nothing where all is well.
    """
    one = installation(folder, servers)
    simulation = Simulation(seed, one, servers)
    try:
        simulation.play()
        found = tables(one)
        wrong = [f"{name} differs: {rows}" for name, rows in differences(found, expected).items()]
        wrong += opinions(one, found)
    except AssertionError as error:
        wrong = [str(error)]
    return [f"seed {seed}", *simulation.happened, *wrong] if wrong else []


def main() -> int:
    """Play seeds one after another; 1 where one of them ended badly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    chosen = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder, four_servers() as servers:
        expected = undisturbed(installation(Path(folder) / "undisturbed", servers))
        for seed in range(chosen.first, chosen.first + chosen.seeds):
            own = Path(folder) / str(seed)
            wrong = faults_of(seed, own, servers, expected)
            shutil.rmtree(own)
            bad += bool(wrong)
            print("\n  ".join(wrong) if wrong else f"seed {seed}: well", flush=True)
    print(f"{chosen.seeds - bad} of {chosen.seeds} seeds ended well")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
