"""The API under load while a backfill and refreshes run, beside nginx with the same bytes.

What is asked: an hour of one station (`latest`), its category, and everything newest of a network,
compressed. Each is asked of `aq serve` and of nginx, twice in turns, by wrk on the same cores,
while `aq backfill` and `aq refresh` go on. Then: a mix of requests by Locust, two workers killed
under load, 10,000 connections that send nothing, everything newest of 10,000 stations, and ranges
of one station.

Aims: 10,000 requests a second on hot answers with no failure, and half of what nginx does;
everything of 10,000 stations within 50 ms; a new hour readable 5 s after its publication.
"""

from __future__ import annotations

import argparse
import gzip
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil

from aq_science.windows import DAY
from benchmarks.common import aq, clean_environment, machine, platform_on_sandbox
from benchmarks.load.large import large_home
from benchmarks.load.ranges import measure_everything, measure_ranges
from benchmarks.load.servers import await_answer, cpu_seconds, nginx, serving, workers_of
from benchmarks.load.wrk import Load, wrk

LOCUST = Path("build/load/bin/locust")
WORKERS = 2
GZIP = "Accept-Encoding: gzip"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=15, help="Of each load")
    parser.add_argument("--days", type=int, default=30, help="Of the backfill")
    asked = parser.parse_args()
    _allow_files()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(f"{machine()}; {WORKERS} workers of aq serve, {WORKERS} of nginx, one thread of wrk")
    today = datetime.now(UTC).date()
    start = today - timedelta(days=asked.days + 2)
    with platform_on_sandbox(asked.stations, start) as environment:
        _run(
            environment, "backfill", "--start", str(today - timedelta(days=3)), "--end", str(today)
        )
        _run(environment, "refresh")
        with serving(environment, WORKERS) as (url, process):
            with _at_work(environment, str(start + DAY), str(today)) as work:
                _against_nginx(url, process, asked.seconds)
                _mix(url, 3 * asked.seconds)
            print(f"meanwhile: {dict(work)}")
            _new_hour(environment, url, start)
            _killed(url, process)
            _idle(url, process)
    with large_home() as environment, serving(environment, 1) as (url, _):
        measure_everything(url)
    measure_ranges(asked.stations, 100)


def _run(environment: Mapping[str, str], *arguments: str) -> int:
    done = subprocess.run(
        [aq(), *arguments], env=dict(environment), capture_output=True, check=False
    )
    return done.returncode


@contextmanager
def _at_work(environment: Mapping[str, str], first: str, last: str) -> Iterator[Counter[str]]:
    """Backfills and refreshes, one after the other, until the block ends."""
    done: Counter[str] = Counter()
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            for command in (["backfill", "--start", first, "--end", last], ["refresh"]):
                code = _run(environment, *command)
                done[f"aq {command[0]}, exit {code}"] += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()


def _against_nginx(url: str, process: psutil.Process, seconds: int) -> None:
    """Both by turns.

    Args:
        url: Of the API.
        process: Its parent.
        seconds: Of each load.
    """
    rows = httpx.get(f"{url}/v1/latest", trust_env=False, timeout=60).json()["data"]
    predicted = next(row for row in rows if row["forecast_2_value"] is not None)
    one = f"station_id={quote(predicted['station_id'])}"
    paths = {
        "latest of a station": (f"/v1/latest?{one}", ()),
        "category of a station": (f"/v1/category?{one}", ()),
        "everything newest, gzip": ("/v1/latest?network=airqino", (GZIP,)),
    }
    bodies = {}
    for number, (path, headers) in enumerate(paths.values()):
        answer = httpx.get(
            f"{url}{path}", trust_env=False, headers={"accept-encoding": ""}, timeout=60
        )
        body = answer.raise_for_status().content
        bodies[str(number)] = gzip.compress(body, 6) if headers else body
    with tempfile.TemporaryDirectory(prefix="aq-nginx-") as folder, ExitStack() as stack:
        other, master = stack.enter_context(nginx(Path(folder), bodies, WORKERS))
        for number, (name, (path, headers)) in enumerate(paths.items()):
            print(f"\n{name}: {len(bodies[str(number)]):,} bytes")
            servers = (("aq", f"{url}{path}", process), ("nginx", f"{other}/{number}", master))
            loads: dict[str, list[Load]] = {"aq": [], "nginx": []}
            each: dict[str, list[float]] = {"aq": [], "nginx": []}
            for _ in range(2):
                for server, address, parent in servers:
                    before = cpu_seconds(parent)
                    load = wrk(address, seconds, headers=headers)
                    used = (cpu_seconds(parent) - before) / max(load.requests, 1) * 1e6
                    loads[server].append(load)
                    each[server].append(used)
                    busy = psutil.getloadavg()[0]
                    print(f"  {server:5} {load}, the server {used:.0f} µs each; load {busy:.0f}")
            rates = {server: sum(one.rate for one in of) for server, of in loads.items()}
            print(
                f"  of nginx's requests a second: {rates['aq'] / rates['nginx']:.2f}; by CPU a "
                f"request: {min(each['nginx']) / min(each['aq']):.2f}"
            )


def _mix(url: str, seconds: int) -> None:
    if not LOCUST.exists():
        print("\nno mix: `make load` installs Locust")
        return
    with tempfile.TemporaryDirectory() as folder:
        end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [
                *(str(LOCUST.resolve()), "--headless", "--only-summary", "--host", url),
                *("-f", str(Path(__file__).with_name("locustfile.py")), "-u", "32", "-r", "32"),
                *("-t", f"{seconds}s", "--csv", f"{folder}/mix", "--json"),
            ],
            env={**clean_environment(), "AQ_BENCH_END": end.isoformat(), "PYTHONPATH": ""},
            capture_output=True,
            check=False,
        )
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cores = (used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime) / seconds
        print(f"\na mix, by 32 users of Locust, which took about {cores:.1f} cores")
        _print_csv(Path(folder) / "mix_stats.csv")


def _print_csv(path: Path) -> None:
    import polars as pl

    rows = pl.read_csv(path)
    for row in rows.iter_rows(named=True):
        print(
            f"  {row['Name']:36} {row['Requests/s']:8.0f} requests/s, p50 {row['50%']} ms, "
            f"p99 {row['99%']} ms, {row['Failure Count']} failures of {row['Request Count']}, "
            f"{row['Average Content Size']:,.0f} bytes"
        )


def _new_hour(environment: Mapping[str, str], url: str, day: date) -> None:
    """From the manifest's switch to the first answer of the new publication.

    Args:
        environment: Of the platform.
        url: Of the API.
        day: One that was not loaded yet, whose averages change what is published.
    """
    manifest = Path(environment["AQ_HOME"]) / "objects" / "publication" / "manifest.json"
    before = manifest.stat().st_mtime
    served = httpx.get(f"{url}/readyz", trust_env=False, timeout=60).json().get("published")
    thread = threading.Thread(
        target=_run, args=(environment, "backfill", "--start", str(day), "--end", str(day))
    )
    thread.start()
    seen = None
    while thread.is_alive() or seen is None:
        if manifest.stat().st_mtime != before:
            now = httpx.get(f"{url}/readyz", trust_env=False, timeout=60).json().get("published")
            if now != served:
                seen = time.time() - manifest.stat().st_mtime
                break
        elif not thread.is_alive():
            break
        time.sleep(0.02)
    thread.join()
    text = "nothing new was published" if seen is None else f"{seen:.2f} s"
    print(f"\nfrom a publication to its first answer: {text}")


def _killed(url: str, process: psutil.Process) -> None:
    """Both workers are killed, one after the other, while 16 clients ask."""
    expected = httpx.get(f"{url}/v1/latest", trust_env=False, timeout=60).content
    counts: Counter[str] = Counter()
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(trust_env=False, timeout=120) as client:
            while not over.is_set():
                try:
                    answer = client.get(f"{url}/v1/latest")
                except httpx.HTTPError as error:
                    counts[f"cut off ({type(error).__name__})"] += 1
                else:
                    right = answer.status_code == 200 and answer.content == expected
                    counts["right" if right else f"wrong ({answer.status_code})"] += 1

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(2)
        killed = workers_of(process)[0]
        killed.kill()
        _await_workers(process, killed.pid)
    time.sleep(2)
    over.set()
    for thread in threads:
        thread.join()
    print(f"\ntwo workers killed under 16 clients: {dict(counts)}")


def _await_workers(process: psutil.Process, gone: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        pids = {one.pid for one in workers_of(process)}
        if gone not in pids and len(pids) == WORKERS:
            return
        time.sleep(0.1)
    raise SystemExit("a worker that was killed was not replaced")


def _idle(url: str, process: psutil.Process) -> None:
    """10,000 connections, half of which send a byte of a request and no more."""
    host, port = url.removeprefix("http://").split(":")
    await_answer(f"{url}/healthz")
    before = _memory(process)
    with ExitStack() as stack:
        opened = 0
        for number in range(10_000):
            try:
                one = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
                if number % 2:
                    one.sendall(b"G")
            except OSError:
                continue
            opened += 1
        began = time.perf_counter()
        status = httpx.get(f"{url}/v1/latest", trust_env=False, timeout=60).status_code
        seconds = time.perf_counter() - began
        after = _memory(process)
        held = sum(len(one.net_connections()) for one in workers_of(process))
    print(
        f"\n{opened:,} connections that send nothing, or a byte: workers {before:.0f} MiB before, "
        f"{after:.0f} MiB with them ({held:,} of them kept); another client meanwhile: {status} "
        f"after {seconds * 1000:.0f} ms"
    )


def _memory(process: psutil.Process) -> float:
    return sum(one.memory_info().rss for one in workers_of(process)) / 2**20


def _allow_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
