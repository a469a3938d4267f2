"""`aq ingest`: the devices' endpoint behind uvicorn, in one process or several."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import uvicorn

from aq_resources.clock import open_clock
from aq_resources.device_keys import DeviceKeys, keys_file
from aq_resources.networks.devices.settings import NetworkSettings
from aq_resources.services import Services
from aq_resources.settings import Settings
from aq_serving.ingest.app import Ingest, create_app
from aq_serving.ingest.averages import Averages
from aq_serving.ingest.committer import Committer
from aq_serving.ingest.limits import Room
from aq_serving.ingest.settings import IngestSettings
from aq_serving.ingest.writers import open_writer
from aq_serving.limits import shared_rates
from aq_serving.reader import Reader

# Connections of a process, beyond which it answers 503 at once.
MOST_CONNECTIONS = 2000
# Reads at once, and the longest time of one: they must not hold up what is pushed.
READS, READ_SECONDS = 2, 10.0
# A worker that is still importing does not answer its parent either.
WORKER_START_SECONDS = 60


def from_environment() -> Any:
    """The application as the environment's settings describe it: what a worker serves."""
    settings, own, ingest = Settings(), NetworkSettings(), IngestSettings()
    now = open_clock(settings.clock)
    writer, files = open_writer(settings, own, ingest, now)
    committer = Committer(writer)
    room = Room(files, ingest.memory_bytes, ingest.spool_bytes, ingest.free_bytes, time.monotonic)

    services = Services.from_environment()
    reader = Reader(services, READS, READ_SECONDS)

    async def close() -> None:
        await asyncio.to_thread(committer.close)
        reader.close()
        services.close()

    shared = Ingest(ingest, DeviceKeys(keys_file(settings)), committer, room, own.late_days, now)
    return create_app(shared, Averages(shared, services, reader).routes(), close)


def serve_ingest(
    settings: IngestSettings,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
) -> None:
    """Serve until a signal comes. Each worker writes segments of its own.

    Args:
        settings: The environment's.
        host: Address to listen on; that of the settings without.
        port: Port; that of the settings without.
        workers: Processes; as many as the settings say without.
    """
    with shared_rates():
        uvicorn.run(
            "aq_serving.ingest.server:from_environment",
            factory=True,
            host=settings.host if host is None else host,
            port=settings.port if port is None else port,
            workers=settings.workers if workers is None else workers,
            limit_concurrency=MOST_CONNECTIONS,
            server_header=False,
            access_log=False,
            timeout_worker_healthcheck=WORKER_START_SECONDS,
        )
