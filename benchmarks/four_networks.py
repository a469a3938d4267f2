"""A year of four networks, undisturbed, and with three of them ill.

Each network has a sandbox of its own, so that it can be down alone and its requests are counted.
An undisturbed `aq backfill` of all enabled networks is measured. Then another installation does the
same while one network is down, one answers 429 half of the time and one has renamed every field;
and again once all are well. The healthy network's tables must be those of the undisturbed run after
the first command, everybody's after the second. With `--rotations 4` every network has every ill.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.common import (
    Measured,
    OwnSandbox,
    aq,
    clean_environment,
    four_networks,
    machine,
    measure,
    networks_file,
    own_sandbox,
    tables_of,
)

FIRST, NOW = date(2024, 3, 1), datetime(2025, 6, 18, 9, 20, tzinfo=UTC)
NETWORKS = ("airqino", "airqo", "irceline", "openaq")
# Ill -> the fault that makes it; the network that is down has nobody listening.
ILLS: dict[str, dict[str, Any] | None] = {
    "schema": {"kind": "schema"},
    "healthy": None,
    "down": None,
    "429 half": {"kind": "status", "status": 429, "share": 0.5, "retry_after": 0.05},
}


@dataclass(frozen=True)
class Work:
    """An installation, the command that it runs, and what it may reach."""

    folder: Path
    sandboxes: Mapping[str, OwnSandbox]
    command: list[str]

    def run(self, down: str | None = None) -> Measured:
        """The command, with one network's address leading nowhere."""
        environment = {
            **clean_environment(),
            "AQ_HOME": str(self.folder),
            "AQ_NETWORKS": str(self.folder.parent / "networks.yaml"),
        }
        for network, sandbox in self.sandboxes.items():
            for name, value in sandbox.of(network).items():
                dead = value.replace(sandbox.url, "http://127.0.0.1:9")
                environment[name] = dead if network == down else value
        return measure(self.command, environment, codes=(0, 1))


def lines_of(output: str, network: str) -> Iterator[str]:
    """What the command said of a network, below its marks."""
    own = False
    for line in output.splitlines():
        if line[:1] in "✓✗":
            own = line[2:].startswith(f"{network}:")
        elif own and line.startswith("  "):
            yield line.strip()


def main() -> None:
    """Print what was measured and the verdicts; fail where a table differs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--stations", type=int, default=50, help="of each network")
    options.add_argument("--days", type=int, default=365)
    options.add_argument("--rotations", type=int, default=1, choices=range(1, 5))
    given = options.parse_args()
    last = FIRST + timedelta(days=given.days - 1)
    command = [aq(), "backfill", "--start", f"{FIRST}", "--end", f"{last}"]
    print(f"4 networks, {given.stations} stations each, {given.days} days ({machine()})")
    differing: list[str] = []
    with tempfile.TemporaryDirectory(prefix="aq-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        # Earlier than the backfill: local days reach into the day before.
        networks_file(folder, four_networks(given.stations), FIRST - timedelta(days=1))
        sandboxes = {
            network: stack.enter_context(own_sandbox(given.stations, NOW)) for network in NETWORKS
        }
        calm = Work(folder / "calm", sandboxes, command)
        done = calm.run()
        show("undisturbed", done, sandboxes)
        if done.code:
            raise SystemExit(done.output)
        expected = tables_of(calm.folder, NETWORKS)
        for (network, table), (rows, _) in expected.items():
            print(f"  {network}.{table:16}{rows:12,} rows")
        for rotation in range(given.rotations):
            ills = {
                network: list(ILLS)[(place + rotation) % len(ILLS)]
                for place, network in enumerate(NETWORKS)
            }
            work = Work(folder / f"ill{rotation}", sandboxes, command)
            differing += disturbed(work, ills, expected)
    if differing:
        raise SystemExit("\n".join(differing))


def disturbed(work: Work, ills: Mapping[str, str], expected: Mapping[Any, Any]) -> list[str]:
    """Run it with the ills and then without; what was not as it should have been."""
    wrong = []
    for network, ill in ills.items():
        if (fault := ILLS[ill]) is not None:
            work.sandboxes[network].control("POST", "faults", fault)
    (down,) = (network for network, ill in ills.items() if ill == "down")
    ill_run = work.run(down)
    title = ", ".join(f"{network} {ill}" for network, ill in ills.items())
    show(title, ill_run, work.sandboxes)
    found = tables_of(work.folder, NETWORKS)
    for network, ill in ills.items():
        same = all(found.get(key) == want for key, want in expected.items() if key[0] == network)
        said = list(lines_of(ill_run.output, network))
        print(
            f"  {network:9}{ill:9}{'equal' if same else 'not yet':8}"
            + "".join(f" {s}" for s in said)
        )
        if ill == "healthy" and not (same and not said):
            wrong.append(f"{title}: {network} was healthy and its tables differ")
        if not same and not (len(said) == 1 or (said and ill == "429 half")):
            wrong.append(f"{title}: {network} took {len(said)} lines to say what is wrong")
    for sandbox in work.sandboxes.values():
        sandbox.control("DELETE", "faults")
    well = work.run()
    show("all well again", well, work.sandboxes)
    found = tables_of(work.folder, NETWORKS)
    for key, want in expected.items():
        if found.get(key) != want:
            wrong.append(f"{title}: after recovery {'.'.join(key)} differs")
    print(f"  every table {'equal' if found == expected else 'NOT EQUAL'}")
    if well.code or not ill_run.code:
        wrong.append(f"{title}: exit codes {ill_run.code} and {well.code}")
    return wrong


def show(title: str, done: Measured, sandboxes: Mapping[str, OwnSandbox]) -> None:
    """Time, memory, and requests by network since the last."""
    counts = []
    for network, sandbox in sandboxes.items():
        counts.append(f"{network} {sandbox.control('GET', 'requests')['total']:,}")
        sandbox.control("DELETE", "requests")
    print(
        f"{title}: {done.seconds:.0f} s, peak {done.peak_mib:.0f} MiB, exit code {done.code}; "
        f"requests: {', '.join(counts)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
