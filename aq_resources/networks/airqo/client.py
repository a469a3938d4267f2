"""What AirQo is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http.client import HttpClient, concurrently
from aq_resources.network_client import Failure, Parsed, Pull, StationList
from aq_resources.network_settings import NetworkConfig
from aq_resources.network_toolkit.pulls import FewInTurn
from aq_resources.network_toolkit.rows import parse_in_batches
from aq_resources.networks.airqo.api import Api
from aq_resources.networks.airqo.bodies import MEASUREMENTS, decoded, source_of
from aq_resources.networks.airqo.download import download, download_sources
from aq_resources.networks.airqo.measurements import measurements
from aq_resources.networks.airqo.members import Entry, Members, describe, find_members, listed
from aq_resources.networks.airqo.parse import AirQoRows
from aq_resources.networks.airqo.places import read_places
from aq_resources.networks.airqo.settings import TITLE, NetworkSettings
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.windows import DAY, Window, midnight

# "About two months a call"; the shortest two have 59 days.
SPAN = timedelta(days=59)
# The v2 measurements answer for 31 days at most, and for 7 without a subscription; with 80 records
# a page they also cost many times the download's requests. So they serve the days at the end alone.
RECENT_DAYS = 7
NEWEST_WITHIN = timedelta(hours=6)
NEWEST_ENTRIES = 3
_NOT_LISTED = (
    "AirQo answers this machine without a single reading of its whole network: its address is not "
    "white-listed (nexus.airqo.net, or support@airqo.net)."
)


class AirQoClient:
    """Client of AirQo (see `NetworkClient`)."""

    name = "airqo"
    title = TITLE

    def __init__(
        self,
        config: NetworkConfig,
        own: NetworkSettings,
        settings: Settings,
        now: Callable[[], datetime],
    ) -> None:
        self.span = min(SPAN, timedelta(days=config.span_days)) if config.span_days else SPAN
        self._entries = [Entry.read(text) for text in config.stations]
        self._now = now
        self._workers = settings.http_concurrency
        self._api = Api(own, settings, now)
        self._known_members: Members | None = None
        self._few = FewInTurn[Entry](NEWEST_ENTRIES)

    def pull(self, window: Window) -> Iterator[Pull]:
        """Days that end the window by the v2 measurements, those before by the download."""
        seam = midnight(self._now().date()) - (RECENT_DAYS - 1) * DAY
        needs_members = window.start < seam or any(e.kind == "device" for e in self._entries)
        members = self._members(self._api.http) if needs_members else Members({}, {}, {})
        for entry, failure in members.failures.items():
            yield Pull(entry, None, failure)
        seen = _Seen()
        if window.start < seam:
            older = Window(window.start, min(window.end, seam))
            for part in older.chunks(self.span):
                for source, asked in download_sources(self._entries, members):
                    yield from self._checked(download(self._api, source, asked, part), seen)
        if window.end > seam:
            for part in Window(max(window.start, seam), window.end).chunks(self.span):
                # A group's measurements need no list of its members.
                wanted = [
                    entry
                    for entry in self._entries
                    if entry.kind != "device" or entry.text not in members.failures
                ]
                pages = concurrently(
                    lambda question: list(measurements(self._api, *question)),
                    ((entry, members, part, self._api.http) for entry in wanted),
                    self._workers,
                )
                for pulls in pages:
                    yield from self._checked(pulls, seen)

    def newest_hour(self) -> datetime | None:
        """By a few entries: the one that had the newest hour last time, then others in turn.

        Of each the first and the last page: whichever way the records are sorted, the newest is
        on one of them.
        """
        now = self._now()
        window = Window(now - NEWEST_WITHIN, now)
        entries = self._few.next_few(self._entries)
        members = Members({}, {}, {})
        http = self._api.newest_http
        if any(entry.kind == "device" for entry in entries):
            members = self._members(http)
        failures: list[Failure] = []
        newest: tuple[datetime, Entry] | None = None
        for entry in entries:
            if entry.text in members.failures:
                failures.append(members.failures[entry.text])
                continue
            pulls = list(measurements(self._api, entry, members, window, http, ends_only=True))
            failures += [pull.failure for pull in pulls if pull.failure]
            versions = self.parse(p.answer for p in pulls if p.answer and not p.failure).versions
            hour = versions["hour"].max()
            if isinstance(hour, datetime) and (newest is None or hour > newest[0]):
                newest = hour, entry
        if newest is None:
            if failures:
                raise failures[0]
            if not self._network_speaks(http):
                raise PermanentFailure(_NOT_LISTED)
            return None
        self._few.freshest = newest[1]
        return newest[0]

    def stations(self) -> StationList:
        """Every device of the entries, with the name and position of its site."""
        members = self._members(self._api.http)
        try:
            devices = {str(row.get("name")): row for row in listed("devices", self._api.get)}
            sites = {str(row.get("_id")): row for row in listed("sites", self._api.get)}
        except (TransientFailure, PermanentFailure) as failure:
            return StationList((), {entry.text: failure for entry in self._entries})
        names = {name for names in members.names.values() for name in names}
        return StationList(
            tuple(describe(name, devices.get(name, {}), sites) for name in sorted(names)),
            members.failures,
        )

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        """Versions of every complete hour within the window each answer was asked for."""
        return parse_in_batches(answers, AirQoRows, source_of)

    def places(self, answers: Iterable[RawAnswer]) -> pl.DataFrame:
        """Where the records were measured (see `PlacedClient`)."""
        return read_places(answers)

    def close(self) -> None:
        """Give connections back."""
        self._api.close()

    def _checked(self, pulls: Iterable[Pull], seen: _Seen) -> Iterator[Pull]:
        """The pulls, an empty one failed where the network shows this machine nothing at all."""
        for pull in pulls:
            if pull.failure is None and pull.answer is not None and not seen.records:
                if _has_records(pull.answer):
                    seen.records = True
                else:
                    if seen.speaks is None:
                        try:
                            seen.speaks = self._network_speaks(self._api.http)
                        except (TransientFailure, PermanentFailure) as failure:
                            yield Pull(pull.source, pull.answer, failure)
                            continue
                    if not seen.speaks:
                        yield Pull(pull.source, pull.answer, PermanentFailure(_NOT_LISTED))
                        continue
            yield pull

    def _network_speaks(self, http: HttpClient) -> bool:
        """Whether any device of the whole network shows anything: hundreds are never all silent."""
        body = self._api.get(f"{MEASUREMENTS}/recent", {"limit": "1"}, http)
        return bool(body.get("measurements"))

    def _members(self, http: HttpClient) -> Members:
        """Devices of every entry; asked once, failures again."""
        if self._known_members is None:
            found = find_members(
                self._entries, lambda path, params: self._api.get(path, params, http)
            )
            if found.failures:
                return found
            self._known_members = found
        return self._known_members


@dataclass
class _Seen:
    """Whether a pull has had any record, and whether the network shows any at all."""

    records: bool = False
    speaks: bool | None = None


def _has_records(answer: RawAnswer) -> bool:
    body = decoded(answer.body)
    return any(isinstance(body.get(key), list) and body[key] for key in ("measurements", "data"))
