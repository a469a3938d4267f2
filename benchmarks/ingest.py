"""Readings accepted durably in a second, in batches and singly, beside NATS JetStream.

`aq ingest` with two processes, and a load generator in this process: so many connections, each of
which waits for its answer. The same messages go to a `nats-server` (Debian: `apt-get install
nats-server`) with JetStream's file store and its own durability, which writes to the page cache and
syncs every two minutes; ours syncs before it answers. Without `nats-server` that part is left out.

Aim: 20,000 readings a second in batches of 100, and at least JetStream's rate in the same run.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from aq_resources.spool.frames import Readings
from aq_resources.spool.reader import READY, Spool
from benchmarks.common import clean_environment, free_port, machine, stop_tree

CONNECTIONS = int(os.environ.get("AQ_BENCH_CONNECTIONS", "16"))
BATCH = 100
BATCHES = int(os.environ.get("AQ_BENCH_BATCHES", "1600"))
SINGLES = int(os.environ.get("AQ_BENCH_SINGLES", "4000"))
WORKERS = 2

Send = Callable[[bytes], Awaitable[None]]
Connect = Callable[[], Awaitable[Send]]


@dataclass(frozen=True)
class Rate:
    """What a load came to: readings a second, and seconds a request took."""

    name: str
    readings: float
    latencies: list[float]
    cpu: float

    def __str__(self) -> str:
        at = statistics.quantiles(self.latencies, n=100)
        return (
            f"{self.name:32} {self.readings:9,.0f} readings/s   p50 {at[49] * 1000:7.1f} ms   "
            f"p99 {at[98] * 1000:7.1f} ms   server CPU {self.cpu:5.1f} s"
        )


def bodies(count: int, size: int) -> list[bytes]:
    """Requests of so many readings each, no two readings alike."""
    first = time.time() - count * size / 1000
    return [
        json.dumps(
            [
                {
                    "device_id": str(n),
                    "timestamp": round(first + (number * size + n) / 1000, 3),
                    "temperature": 20.0 + n / 10 % 10,
                    "tag": "Thermostat",
                }
                for n in range(size)
            ]
        ).encode()
        for number in range(count)
    ]


async def load(name: str, connect: Connect, messages: list[bytes], size: int, pid: int) -> Rate:
    """Send all messages over the connections.

    Args:
        name: Of what is measured.
        connect: Opens a connection.
        messages: What is sent.
        size: Readings in each.
        pid: The server, whose CPU time is counted with its children's.

    Returns:
        The rate.
    """
    waiting = iter(messages)
    latencies: list[float] = []
    senders = [await connect() for _ in range(CONNECTIONS)]

    async def work(send: Send) -> None:
        for message in waiting:
            begun = time.perf_counter()
            await send(message)
            latencies.append(time.perf_counter() - begun)

    before, begun = cpu_of(pid), time.perf_counter()
    await asyncio.gather(*map(work, senders))
    seconds = time.perf_counter() - begun
    return Rate(name, len(messages) * size / seconds, latencies, cpu_of(pid) - before)


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and its children."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def http(port: str, key: str) -> Connect:
    """Connections to `aq ingest`, of which nothing but the status of an answer is looked at."""

    async def connect() -> Send:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            "POST /v1/readings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {key}\r\nContent-Length: "
        ).encode()

        async def send(body: bytes) -> None:
            writer.write(b"%s%d\r\n\r\n%s" % (head, len(body), body))
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 202"):
                raise RuntimeError(answer.decode())
            lower = answer.lower()
            length = int(lower.partition(b"content-length: ")[2].partition(b"\r")[0])
            await reader.readexactly(length)

        return send

    return connect


def nats(port: str) -> Connect:
    """Connections to JetStream, each of which waits for the acknowledgement of its message."""

    async def connect() -> Send:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        await reader.readline()
        inbox = f"_INBOX.{os.urandom(8).hex()}".encode()
        writer.write(b'CONNECT {"verbose":false}\r\nSUB %s 1\r\n' % inbox)

        async def ask(subject: bytes, body: bytes) -> bytes:
            writer.write(b"PUB %s %s %d\r\n%s\r\n" % (subject, inbox, len(body), body))
            while True:
                line = await reader.readline()
                if line.startswith(b"MSG"):
                    return await reader.readexactly(int(line.split()[-1]) + 2)
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")

        stream = {"name": "readings", "subjects": ["readings"], "storage": "file"}
        await ask(b"$JS.API.STREAM.CREATE.readings", json.dumps(stream).encode())

        async def send(body: bytes) -> None:
            answer = await ask(b"readings", body)
            if b'"seq"' not in answer:
                raise RuntimeError(answer.decode())

        return send

    return connect


@contextmanager
def ingest_server(folder: Path) -> Iterator[tuple[int, str, str]]:
    """`aq ingest`: its process id, port and a key."""
    port = free_port()
    environment = {
        **clean_environment(),
        "AQ_HOME": str(folder),
        "AQ_INGEST_PORT": str(port),
        "AQ_INGEST_WORKERS": str(WORKERS),
        "AQ_INGEST_READINGS_PER_SECOND": "10000000",
    }
    aq = [sys.executable, "-c", "from aq_platform.cli import app; app()"]
    made = subprocess.run(
        [*aq, "devices", "add-key", "bench"], env=environment, check=True, capture_output=True
    )
    server = subprocess.Popen([*aq, "ingest"], env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield server.pid, port, made.stdout.decode().strip()
    finally:
        server.terminate()
        stop_tree(server)


@contextmanager
def nats_server(folder: Path, program: str) -> Iterator[tuple[int, str, str]]:
    """JetStream: its process id, port and nothing."""
    port = free_port()
    server = subprocess.Popen(
        [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield server.pid, port, ""
    finally:
        server.terminate()
        stop_tree(server)


def wait_for(port: str) -> None:
    """Until something listens."""

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    while not asyncio.run(listens()):
        time.sleep(0.2)


def measure(
    name: str, server: AbstractContextManager[tuple[int, str, str]], over: Callable[..., Connect]
) -> dict[int, Rate]:
    """Both loads on a server.

    Args:
        name: What it is called.
        server: Runs it.
        over: Makes connections to it.

    Returns:
        The rates by the size of a request.
    """
    rates = {}
    with server as (pid, port, key):
        connect = over(port, key) if key else over(port)
        # Warm: imports, first segments, the stream.
        asyncio.run(load(name, connect, bodies(2 * CONNECTIONS, BATCH), BATCH, pid))
        for size, count in ((BATCH, BATCHES), (1, SINGLES)):
            title = f"{name}, {'singly' if size == 1 else f'batches of {size}'}"
            rates[size] = asyncio.run(load(title, connect, bodies(count, size), size, pid))
            print(rates[size], flush=True)
    return rates


def found(spool: Path) -> int:
    """Readings in the spool once its writers are gone."""
    end = Spool(spool)
    frames = (
        frame
        for day in end.days(READY)
        for segment in end.segments(day, READY)
        for frame in end.frames(segment)
    )
    return sum(len(frame.time) for frame in frames if isinstance(frame, Readings))


def main() -> None:
    """Print rates, latencies and the ratio."""
    print(f"{machine()}; {datetime.now(UTC):%Y-%m-%d %H:%M}Z; load {os.getloadavg()[0]:.1f}")
    print(f"{CONNECTIONS} connections; aq ingest with {WORKERS} processes")
    with tempfile.TemporaryDirectory(prefix="aq-bench-") as name:
        folder = Path(name)
        ours = measure("aq ingest", ingest_server(folder / "home"), http)
        sent = (BATCHES + 2 * CONNECTIONS) * BATCH + SINGLES
        stored = found(folder / "home" / "spool")
        print(f"sent {sent:,}, in the spool {stored:,}")
        if stored != sent:
            raise SystemExit("readings were lost or doubled")
        program = shutil.which("nats-server") or shutil.which("/usr/sbin/nats-server")
        if program is None:
            print("nats-server is not here: no comparison")
            return
        theirs = measure("JetStream", nats_server(folder / "nats", program), nats)
        for size, rate in ours.items():
            ratio = rate.readings / theirs[size].readings
            print(f"ratio to JetStream, {size} a request: {ratio:.2f}")


if __name__ == "__main__":
    main()
