"""What an hour of devices comes to: bytes, time and memory of its drain and of its hours.

Each number of devices pushes a reading every ten seconds (`AQ_BENCH_EVERY`), as requests of a
hundred. The hour waits in the spool and is drained at once, as after an outage; then ten seconds
more are, which make that hour's windows again; then its hourly readings are made. Each of the three
is a process of its own, whose peak of memory counts.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aq_resources.spool.frames import Readings, encode
from aq_resources.spool.writer import SpoolWriter
from benchmarks.common import clean_environment, machine

DEVICES = [int(n) for n in os.environ.get("AQ_BENCH_DEVICES", "100,1000,5000").split(",")]
EVERY = int(os.environ.get("AQ_BENCH_EVERY", "10"))
START = datetime(2026, 3, 10, 6, tzinfo=UTC)
_SECOND = 1_000_000
_BATCH = 100
_SENSORS = ("pm25", "temperature")


def push(spool: Path, devices: int, first: int, last: int) -> int:
    """Put the readings of some seconds of the hour into the spool, as `aq ingest` does.

    Args:
        spool: The spool's folder.
        devices: How many.
        first: Second of the hour from which on.
        last: Second before which they end.

    Returns:
        How many there are.
    """
    clock, chance = [0.0], random.Random(first)  # noqa: S311 - no secret
    writer = SpoolWriter(spool, 2.0, 8 << 20, lambda: datetime.now(UTC), lambda: clock[0])
    names = [f"device-{n:06}" for n in range(devices)]
    begin = round(START.timestamp()) * _SECOND
    count = 0
    for second in range(first, last, EVERY):
        frames = []
        for n in range(0, devices, _BATCH):
            some = names[n : n + _BATCH]
            # Clocks of devices tick apart.
            times = [begin + second * _SECOND + chance.randrange(1000) * 1000 for _ in some]
            values = [round(chance.gauss(20, 4), 2) for _ in some]
            sensors = [_SENSORS[k % 2] for k in range(len(some))]
            came = begin + (second + 1) * _SECOND
            frame = Readings("city", came, some, sensors, times, values, [0] * len(some))
            frames.append((START.date(), encode(frame)))
            count += len(some)
        clock[0] += EVERY
        writer.append(frames)
    writer.close()
    return count


def step(home: Path, job: str) -> str:
    """A job in a process of its own: its seconds, CPU seconds and peak of memory, in words."""
    command = [sys.executable, "-m", "benchmarks.device_sizes", job]
    environment = {
        **clean_environment(),
        "AQ_HOME": str(home),
        "AQ_NETWORKS": str(home / "networks.yaml"),
        "AQ_CLOCK": (START + timedelta(hours=1, minutes=1)).isoformat(),
    }
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    seconds, cpu, memory = json.loads(done.stdout.splitlines()[-1])
    return f"{seconds:.1f} s (CPU {cpu:.1f} s), {memory:.0f} MB"


def run_job(job: str) -> None:
    """The child: one run over the day, in this process."""
    import dagster as dg

    from aq_assets.window_averages import PENDING_ONLY
    from aq_platform.definitions import build_defs
    from aq_resources.services import Services

    services = Services.from_environment(lambda: START + timedelta(hours=1, minutes=1))
    defs = build_defs(services)
    tags = {PENDING_ONLY: "true"} if job == "devices_windows" else {}
    with dg.DagsterInstance.ephemeral() as instance:
        begun, cpu = time.perf_counter(), time.process_time()
        if job == "imports":
            pass
        elif job == "hours":
            from aq_resources.networks.devices.parse import parse_readings
            from aq_resources.stores.raw_pulls import RawPullStore

            pulls = RawPullStore(services.object_store, "devices")
            parse_readings(pulls.read(f"date={START.date()}"), 0)
        else:
            defs.resolve_job_def(job).execute_in_process(
                instance=instance, partition_key=f"{START.date()}", tags=tags
            )
        spent = [time.perf_counter() - begun, time.process_time() - cpu]
    print(json.dumps([*spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Print a row of the table for each number of devices."""
    print(f"{machine()}; {datetime.now(UTC):%Y-%m-%d %H:%M}Z; load {os.getloadavg()[0]:.1f}")
    print(f"a reading every {EVERY} s")
    for devices in DEVICES:
        with tempfile.TemporaryDirectory(prefix="aq-bench-") as name:
            home = Path(name)
            entry = {"start_date": "2026-03-01", "stations": ["fleet:*"]}
            (home / "networks.yaml").write_text(json.dumps({"networks": {"devices": entry}}))
            count = push(home / "spool", devices, 0, 3600 - EVERY)
            millions = count / 1e6
            spool = size(home / "spool") / 1e6 / millions
            empty = step(home, "imports")
            hour = step(home, "devices_windows")
            pulls = size(home / "objects") / 1e6 / millions
            windows = size(home / "warehouse") / 1e6 / millions
            push(home / "spool", devices, 3600 - EVERY, 3600)
            following = step(home, "devices_windows")
            hours = step(home, "hours")
            print(
                f"{devices:6,} devices {count:10,} readings/h   MB a million: spool {spool:.0f}, "
                f"raw pulls {pulls:.1f}, windows {windows:.1f}\n"
                f"  drain of the hour {hour}; of the next {EVERY} s {following}; "
                f"its hours {hours}; before any work {empty}",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_job(sys.argv[1])
    else:
        main()
