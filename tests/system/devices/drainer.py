"""Drains the spool into the raw pulls until it is killed: what the runs of `devices_drain` do."""

from __future__ import annotations

import contextlib
import time

from aq_resources.networks.devices.client import DevicesClient
from aq_resources.services import Services
from aq_resources.spool.reader import READY
from aq_resources.spool.writer import SpoolUnavailable
from aq_resources.stores.raw_pulls import RawPullStore
from aq_science.windows import Window


def drain(services: Services) -> None:
    """Take every day's segments once."""
    client = services.client("devices")
    assert isinstance(client, DevicesClient)
    pulls = RawPullStore(services.object_store, "devices")
    for day in client.spool.days(READY):
        found = client.pull(Window.of_days(day, day))
        pulls.append((pull.answer for pull in found if pull.answer is not None), distinct=True)
        client.stored()


if __name__ == "__main__":
    with_spool = Services.from_environment()
    while True:
        # Its broker may be killed too.
        with contextlib.suppress(SpoolUnavailable):
            drain(with_spool)
        time.sleep(0.05)
