"""Where what is pushed waits, as the settings say: files or JetStream."""

from __future__ import annotations

import time

from aq_resources.clock import Clock
from aq_resources.networks.devices.settings import (
    NetworkSettings,
    jetstream_address,
    spool_folder,
)
from aq_resources.settings import Settings
from aq_resources.spool.home import Writer
from aq_resources.spool.jetstream_writer import JetStreamWriter
from aq_resources.spool.reader import Spool
from aq_resources.spool.writer import SpoolWriter
from aq_serving.ingest.settings import IngestSettings


def open_writer(
    settings: Settings, own: NetworkSettings, ingest: IngestSettings, now: Clock
) -> tuple[Writer, Spool | None]:
    """The home of what is pushed, opened to be written.

    Args:
        settings: The platform's.
        own: Those of the network `devices`.
        ingest: Those of what takes readings in.
        now: The clock that names the days of segments.

    Returns:
        Where readings are put, and the files whose room is to be looked at, where it is files.
    """
    address = jetstream_address(own)
    if address is not None:
        # A full stream says so itself.
        return JetStreamWriter(address, ingest.spool_bytes), None
    root = spool_folder(settings, own)
    root.mkdir(parents=True, exist_ok=True)
    writer = SpoolWriter(root, ingest.roll_seconds, ingest.segment_bytes, now, time.monotonic)
    return writer, Spool(root)
