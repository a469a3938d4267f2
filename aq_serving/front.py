"""What stands before the application in each process: limits, hot answers, connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.types import ASGIApp

from aq_resources.services import Services
from aq_serving.hot import HotAnswers
from aq_serving.keys import ApiKeys
from aq_serving.limits import Limits, SharedRates
from aq_serving.live import Live
from aq_serving.protocol import Connections
from aq_serving.published import LOOK_EVERY_SECONDS, PublishedNow
from aq_serving.reader import Reader
from aq_serving.routers.live import newest_windows
from aq_serving.settings import ApiSettings


class Front:
    """Made once a process."""

    def __init__(self, services: Services, settings: ApiSettings, reader: Reader) -> None:
        """Reads nothing.

        Args:
            services: Object store, clock and `AQ_HOME`.
            settings: Limits.
            reader: The only way to the stores.
        """
        self._settings = settings
        self.publication = PublishedNow(lambda: services.object_store, services.now)
        self.keys = ApiKeys(settings.keys_in(services.settings.home))
        self.connections = Connections(settings.most_connections)
        windows = newest_windows(reader, services.now) if "devices" in services.networks else None
        self.live = Live(self.publication, windows, settings.streams, settings.streams_of_address)
        self._state: dict[str, object] = {"connections": self.connections, "live": self.live}
        self._end = threading.Event()
        self._made: list[HotAnswers] = []

    def install(self, app: FastAPI) -> None:
        """Put limits and hot answers before the application."""
        # The last to be added is the first to be asked.
        app.add_middleware(self._hot)
        app.add_middleware(self._limits)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[dict[str, object]]:
        """Follow the publication and the keys, and look after connections, until the block ends.

        Yields:
            What the protocol needs, by name.
        """
        # What is published is there before the first to ask.
        await asyncio.to_thread(self._look)
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        tasks = [asyncio.create_task(one) for one in (self.connections.sweep(), self.live.run())]
        try:
            yield self._state
        finally:
            self._end.set()
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            # What it counted last is added, unless a store keeps it waiting.
            await asyncio.to_thread(watch.join, LOOK_EVERY_SECONDS)

    def _look(self) -> None:
        self.keys.refresh()
        self.publication.look()

    def _watch(self) -> None:
        while not self._end.wait(LOOK_EVERY_SECONDS):
            self._look()
            self._report()
        self._report()

    def _report(self) -> None:
        for hot in self._made:
            hot.report()

    def _hot(self, app: ASGIApp) -> HotAnswers:
        made = HotAnswers(app, self.publication, self.keys)
        self._made.append(made)
        self._state["hot"] = made
        return made

    def _limits(self, app: ASGIApp) -> Limits:
        settings = self._settings
        made = Limits(
            app,
            self.keys,
            SharedRates.of_server(),
            key_required=settings.key_required,
            key_rate=settings.key_rate,
            address_rate=settings.address_rate,
        )
        self._state["limits"] = made
        return made
