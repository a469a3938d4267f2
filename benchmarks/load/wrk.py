"""wrk: the most that a server answers, and what the generator itself took of the cores."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Load:
    """What wrk found: requests a second, percentiles in ms, failures, its own CPU seconds."""

    rate: float
    p50: float
    p99: float
    failures: int
    requests: int
    cpu_seconds: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.rate:9,.0f} requests/s, p50 {self.p50:6.2f} ms, p99 {self.p99:7.2f} ms, "
            f"{self.failures} failures of {self.requests:,}, wrk took "
            f"{self.cpu_seconds / self.seconds:.2f} cores"
        )


def wrk(url: str, seconds: int, connections: int = 64, headers: tuple[str, ...] = ()) -> Load:
    """Ask one address as often as it answers.

    Args:
        url: The address.
        seconds: For how long.
        connections: At once.
        headers: Lines.

    Returns:
        What came of it.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "30s"]
    command += [part for header in headers for part in ("-H", header)]
    with subprocess.Popen([*command, url], stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.read() if process.stdout else ""
        # Its own use alone: other children end meanwhile.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    failures = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", said))
    if errors := re.search(r"Socket errors: (.*)", said):
        failures += sum(int(n) for n in re.findall(r"\d+", errors[1]))
    return Load(
        rate=float(_one(r"Requests/sec:\s+([\d.]+)", said)),
        p50=_milliseconds(_one(r"^ +50%\s+(\S+)", said)),
        p99=_milliseconds(_one(r"^ +99%\s+(\S+)", said)),
        failures=failures,
        requests=int(_one(r"(\d+) requests in", said)),
        cpu_seconds=used.ru_utime + used.ru_stime,
        seconds=seconds,
    )


def _one(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"wrk printed no {pattern}:\n{text}")
    return found[1]


def _milliseconds(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)([a-z]+)", text)
    # Where no request was answered there is no percentile.
    return float("nan") if found is None else float(found[1]) * _UNITS[found[2]]
