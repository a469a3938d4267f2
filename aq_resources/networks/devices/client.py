"""The spool as a network: its answers are the segments that have come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from aq_resources.decoders import decoder_of
from aq_resources.network_client import Parsed, Pull, Station, StationList
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks.devices.bodies import TAKEN, Body, answers_of, nothing_more
from aq_resources.networks.devices.parse import parse_readings
from aq_resources.networks.devices.seen import (
    Seen,
    newest_complete,
    note_seen,
    parameters_of,
)
from aq_resources.networks.devices.settings import ATTRIBUTION, TITLE, NetworkSettings
from aq_resources.spool.home import DONE, READY, STORED, Home, Segment
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.windows import DAY, HOUR, Window

_EVERY_FLEET = "fleet:*"


class DevicesClient:
    """Client of the spool (see `NetworkClient` and `QueueClient`)."""

    name = "devices"
    title = TITLE
    span = DAY

    def __init__(
        self,
        config: NetworkConfig,
        own: NetworkSettings,
        spool: Home,
        now: Callable[[], datetime],
    ) -> None:
        self.settings = own
        self.spool = spool
        self._stations = config.stations
        self._now = now
        self._seen = spool.shared("seen", Seen, Seen)
        self._taken: list[Segment] = []

    def stations(self) -> StationList:
        """The devices that have sent something, of the fleets and devices of the entry."""
        found = self._seen.read().devices
        return StationList(
            tuple(
                Station(
                    name,
                    timezone=self.settings.timezone,
                    parameters=parameters_of(sensors),
                    attribution=ATTRIBUTION,
                )
                for name, sensors in sorted(found.items())
                if parameters_of(sensors) and self._is_wanted(name)
            ),
            {},
        )

    def pull(self, window: Window) -> Iterator[Pull]:
        """Every segment that is ready, of the window's days; nothing is taken away yet."""
        for day in window.dates:
            now = self._now()
            for segment in self.spool.segments(day, READY):
                for answer in self._answers(segment):
                    yield Pull(segment.name, answer)
                self._taken.append(segment)
            yield Pull(str(day), nothing_more(Window.of_days(day, day), now))

    def stored(self) -> None:
        """What was pulled is in the store: its segments need not be pulled again."""
        self.spool.move_on(self._taken, STORED)
        self._taken.clear()

    def settle(self, segments: Iterable[Segment]) -> None:
        """All tables have what is in these segments, which are kept for a while or not at all."""
        self.spool.move_on(segments, DONE)
        kept = self.settings.keep_spool_hours * HOUR
        self.spool.remove_done((self._now() - kept).timestamp())

    def newest_hour(self) -> datetime | None:
        """By what was drained: no request is needed."""
        return newest_complete(self._seen.read(), self._now())

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        """Means of every complete hour."""
        return parse_readings(answers, self.settings.interval_seconds)

    def close(self) -> None:
        """There is nothing to give back."""

    def _answers(self, segment: Segment) -> Iterator[RawAnswer]:
        found = []
        for answer in answers_of(segment.name, self.spool.frames(segment)):
            if answer.status == TAKEN:
                found.append((answer.window[0], decoder_of(Body).decode(answer.body)))
            yield answer
        note_seen(self._seen, found)

    def _is_wanted(self, station: str) -> bool:
        fleet = station.partition(".")[0]
        return not {_EVERY_FLEET, f"fleet:{fleet}", station}.isdisjoint(self._stations)
