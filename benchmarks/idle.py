"""Memory and punctuality of `aq up` left alone with its sensors on, for an hour.

Prints the resident memory of webserver, daemon and code server every five minutes, its slope over
the second half, and for every sensor the ticks made, those expected, and the longest gap. Aim:
memory does not grow without bound, ticks do not fall behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import psutil

from benchmarks.common import aq, free_port, machine, platform_on_sandbox, stop_tree

MINUTES = float(os.environ.get("AQ_BENCH_MINUTES", "60"))
STATIONS = 100
SAMPLE_SECONDS = 15.0
_NAMES = {
    "aq_platform.code_server": "code server",
    "dagster._daemon": "daemon",
    "aq_platform.webserver": "webserver",
}


def main() -> None:
    """Print the figures."""
    print(f"{STATIONS} stations, {MINUTES:g} minutes; {machine()}")
    first = datetime.now(UTC).date() - timedelta(days=31)
    with platform_on_sandbox(STATIONS, first) as environment:
        subprocess.run(
            [aq(), "backfill", "--start", str(first), "--end", str(datetime.now(UTC).date())],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        up = subprocess.Popen(
            [aq(), "up", "--port", free_port(), "--api-port", free_port()],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        try:
            samples = watch(up)
        finally:
            up.send_signal(signal.SIGINT)
            stop_tree(up)
        report(samples)
        punctuality(Path(environment["AQ_HOME"]) / "dagster")


def watch(up: subprocess.Popen[bytes]) -> dict[str, list[tuple[float, float]]]:
    """(minute, MiB) of each service, its own children included for the code server's workers."""
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in _NAMES.values()}
    began = time.monotonic()
    while (minute := (time.monotonic() - began) / 60) < MINUTES:
        for child in psutil.Process(up.pid).children():
            name = service(child)
            if name is not None:
                samples[name].append((minute, resident(child)))
        if up.poll() is not None:
            raise SystemExit(f"aq up ended with {up.returncode}")
        time.sleep(SAMPLE_SECONDS)
    return samples


def service(process: psutil.Process) -> str | None:
    """Which of the three a child is."""
    command = " ".join(process.cmdline())
    return next((name for word, name in _NAMES.items() if word in command), None)


def resident(process: psutil.Process) -> float:
    """MiB of the process and those that live as long as it does: no runs."""
    total = process.memory_info().rss
    for child in process.children():
        try:
            if "multiprocessing.forkserver" in " ".join(child.cmdline()):
                total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def report(samples: dict[str, list[tuple[float, float]]]) -> None:
    """Memory every five minutes, and MiB an hour over the second half."""
    for name, taken in samples.items():
        minutes, sizes = np.array(taken).T
        every = [sizes[np.searchsorted(minutes, m)] for m in np.arange(0, minutes[-1], 5)]
        late = minutes > minutes[-1] / 2
        slope = np.polyfit(minutes[late], sizes[late], 1)[0] * 60
        print(f"{name}: {' '.join(f'{size:.0f}' for size in every)} MiB every 5 minutes, ", end="")
        print(f"peak {sizes.max():.0f}; second half {slope:+.1f} MiB an hour")


def punctuality(dagster_home: Path) -> None:
    """Ticks of every sensor against its interval."""
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    with dg.DagsterInstance.get() as instance:
        for state in instance.all_instigator_state():
            interval = getattr(state.instigator_data, "min_interval", None)
            if not interval:
                continue
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
            times = np.sort([tick.timestamp for tick in ticks])
            if len(times) < 2:
                continue
            gaps = np.diff(times)
            failed = sum(tick.status.value == "FAILURE" for tick in ticks)
            print(
                f"{state.instigator_name}: {len(times)} ticks, every {interval} s; gaps median "
                f"{np.median(gaps):.1f} s, worst {gaps.max():.1f} s; {failed} failed"
            )


if __name__ == "__main__":
    main()
