"""An ingest application over a spool in a folder, and a look into it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec

from aq_resources.device_keys import DeviceKey, DeviceKeys, create_key, keys_file
from aq_resources.settings import Settings
from aq_resources.spool.frames import Readings, Refusals, decode
from aq_resources.spool.home import Writer
from aq_resources.spool.reader import DONE, READY, STORED, Spool
from aq_resources.spool.writer import SpoolWriter
from aq_serving.ingest.app import Ingest, create_app
from aq_serving.ingest.committer import Committer
from aq_serving.ingest.limits import Room
from aq_serving.ingest.settings import IngestSettings
from tests.factories import utc

NOW = utc(2026, 3, 10, 10, 20)
JSON, NDJSON, MSGPACK = "application/json", "application/x-ndjson", "application/msgpack"


@dataclass
class IngestBench:
    """One process of `aq ingest` without its server."""

    root: Path
    settings: IngestSettings = field(default_factory=IngestSettings)
    now: datetime = NOW
    late_days: int = 30
    other: Writer | None = None

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.spool = Spool(self.root)
        files = SpoolWriter(self.root, 1e9, 1 << 30, lambda: self.now, time.monotonic)
        self.committer = Committer(self.other or files)
        self.writer = files
        self.room = Room(
            None if self.other else self.spool,
            self.settings.memory_bytes,
            self.settings.spool_bytes,
            self.settings.free_bytes,
            time.monotonic,
        )
        self.file = keys_file(Settings())
        self.ring = DeviceKeys(self.file)
        ingest = Ingest(
            self.settings,
            self.ring,
            self.committer,
            self.room,
            self.late_days,
            lambda: self.now,
        )
        self.app = create_app(ingest, [], self.nothing)
        self.key = self.add_key("school-7")

    async def nothing(self) -> None:
        return

    def add_key(self, fleet: str, **wanted: Any) -> str:
        with self.file.updated() as keys:
            key = create_key(keys, DeviceKey(fleet, "", NOW, **wanted))
        self.ring.refresh()
        return key

    def push(
        self,
        content: object,
        kind: str = JSON,
        key: str | None = None,
        path: str = "/v1/readings",
        **headers: str,
    ) -> httpx.Response:
        if isinstance(content, bytes):
            body = content
        elif kind == MSGPACK:
            body = msgspec.msgpack.encode(content)
        else:
            body = msgspec.json.encode(content)
        named = {"content-type": kind, "authorization": f"Bearer {key or self.key}", **headers}

        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://in") as client:
                return await client.post(path, content=body, headers=named)

        return asyncio.run(request())

    def close(self) -> None:
        self.committer.close()

    def frames(self) -> Iterator[Readings | Refusals]:
        """All that is in the spool, open segments included."""
        for path in sorted(self.root.glob("date=*/*")):
            assert path.suffix in {".open", *(f".{state}" for state in (READY, STORED, DONE))}
            yield from decode(path.read_bytes())

    def stored(self) -> list[tuple[str, str, str, int, float]]:
        """Fleet, device, sensor, time and value of every stored reading."""
        return [
            (frame.fleet, *row)
            for frame in self.frames()
            if isinstance(frame, Readings)
            for row in zip(frame.device, frame.sensor, frame.time, frame.value, strict=True)
        ]

    def dead(self) -> list[tuple[int, str, str, str]]:
        """Index, field, reason and text of every refused message."""
        return [
            row
            for frame in self.frames()
            if isinstance(frame, Refusals)
            for row in zip(frame.index, frame.field, frame.reason, frame.raw, strict=True)
        ]


def thermostat(value: object = 21.5, **changed: Any) -> dict[str, Any]:
    """A message of a thermostat."""
    message = {"device_id": "1", "timestamp": "2026-03-10T10:19:58Z", "tag": "Thermostat"}
    return {**message, "temperature": value, **changed}
