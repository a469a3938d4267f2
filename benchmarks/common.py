"""What the benchmarks share: a sandbox, and children whose time and memory are measured."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Measured:
    """Wall time (s) and peak resident memory (MiB) of a child process with its children."""

    seconds: float
    peak_mib: float


@contextmanager
def platform_on_sandbox(
    stations: int, start: date, now: datetime | None = None, speed: float | None = None
) -> Iterator[dict[str, str]]:
    """Environment of an empty platform on a sandbox in another process, by its clock."""
    from aq_sandbox.stations import station_ids

    with tempfile.TemporaryDirectory(prefix="aq-bench-") as folder:
        networks = Path(folder) / "networks.yaml"
        ids = station_ids(stations)
        overrides = {name: {"timezone": "Africa/Abidjan"} for name in ids}
        entry = {"start_date": start.isoformat(), "stations": list(ids), "overrides": overrides}
        networks.write_text(json.dumps({"networks": {"airqino": entry}}).replace(
            f'"{start.isoformat()}"', start.isoformat()
        ))  # fmt: skip
        command = [aq(), "sandbox", "--stations", str(stations), "--port", "0"]
        if now is not None:
            command += ["--now", now.isoformat()]
        if speed is not None:
            command += ["--speed", str(speed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
            try:
                environment = {
                    **{k: v for k, v in os.environ.items() if not k.startswith("AQ_")},
                    "AQ_HOME": str(Path(folder) / "home"),
                    "AQ_NETWORKS": str(networks),
                }
                environment.pop("DAGSTER_HOME", None)
                for line in sandbox.stdout or ():
                    if not line.startswith("export "):
                        break
                    name, _, value = line.removeprefix("export ").strip().partition("=")
                    environment[name] = value
                yield environment
            finally:
                sandbox.terminate()


def aq() -> str:
    """The command of this environment."""
    return str(Path(sys.executable).with_name("aq"))


def measure(command: list[str], environment: dict[str, str]) -> Measured:
    """Run the command to its end; raises where it fails."""
    began = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as child:
        process = psutil.Process(child.pid)
        peak = 0
        while child.poll() is None:
            try:
                peak = max(peak, process.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.02)
    if child.returncode:
        raise SystemExit(f"{command[0]} failed with exit code {child.returncode}")
    return Measured(time.perf_counter() - began, peak / 2**20)


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


def stop_tree(process: subprocess.Popen[bytes]) -> None:
    """Wait for the process, which was asked to end, and kill whatever is left of it."""
    family = psutil.Process(process.pid).children(recursive=True)
    try:
        process.wait(60)
    finally:
        _, alive = psutil.wait_procs(family, timeout=10)
        for child in alive:
            child.kill()


def machine() -> str:
    """What the numbers were measured on."""
    return f"{psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f} before"
