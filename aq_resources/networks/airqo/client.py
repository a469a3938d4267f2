"""What AirQo is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http import HttpClient, concurrently
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks._client import FewInTurn, Parsed, Pull, StationList, parse_in_batches
from aq_resources.networks.airqo.api import Api
from aq_resources.networks.airqo.bodies import (
    DOWNLOAD,
    MEASUREMENTS,
    as_count,
    as_dict,
    decoded,
)
from aq_resources.networks.airqo.members import (
    ASKED_RECORDS,
    Entry,
    Members,
    describe,
    find_members,
    listed,
)
from aq_resources.networks.airqo.parse import Batch
from aq_resources.networks.airqo.settings import TITLE, NetworkSettings
from aq_resources.raw_pulls import RawAnswer
from aq_resources.settings import Settings
from aq_science.windows import DAY, HOUR, Window, midnight

# "About two months a call"; the shortest two have 59 days.
SPAN = timedelta(days=59)
# The v2 measurements answer for 31 days at most, and for 7 without a subscription; with 80 records
# a page they also cost many times the download's requests. So they serve the days at the end alone.
RECENT_DAYS = 7
# Sizes of a page that a document, a sample or the server's code names. So many records may be a
# page cut short, whatever the answer says of itself; the next page then tells.
PAGE_SIZES = frozenset({30, 50, 80, 100, 300, 1000})
DOWNLOAD_SIZES = frozenset({1000, 2000})
SHORTEST_HALF_HOURS = 6
NEWEST_WITHIN = timedelta(hours=6)
NEWEST_ENTRIES = 3
_ASKED = "%Y-%m-%dT%H:%M:%S.000Z"
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
                for subject, asked in self._download_subjects(members):
                    yield from self._checked(self._download(subject, asked, part), seen)
        if window.end > seam:
            for part in Window(max(window.start, seam), window.end).chunks(self.span):
                # A group's measurements need no list of its members.
                wanted = [
                    entry
                    for entry in self._entries
                    if entry.kind != "device" or entry.text not in members.failures
                ]
                pages = concurrently(
                    lambda question: list(self._measurements(*question)),
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
        entries = self._few.choose(self._entries)
        members = Members({}, {}, {})
        http = self._api.newest_http
        if any(entry.kind == "device" for entry in entries):
            members = self._members(http)
        failures: list[TransientFailure | PermanentFailure] = []
        newest: tuple[datetime, Entry] | None = None
        for entry in entries:
            if entry.text in members.failures:
                failures.append(members.failures[entry.text])
                continue
            pulls = list(self._measurements(entry, members, window, http, ends_only=True))
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
        return parse_in_batches(answers, Batch)

    def close(self) -> None:
        self._api.close()

    # ------------------------------------------------------------------------------ questions

    def _measurements(
        self,
        entry: Entry,
        members: Members,
        window: Window,
        http: HttpClient,
        *,
        ends_only: bool = False,
    ) -> Iterator[Pull]:
        """Pages of one entry's measurements, until nothing is left to ask for."""
        name = members.ids[entry.name] if entry.kind == "device" else entry.name
        path = f"{MEASUREMENTS}/{entry.kind}s/{name}"
        seen, total, skip = 0, None, 0
        before: list[Any] | None = None
        while True:
            params = {
                # Both ends count: a second earlier keeps the next window's first hour out.
                "startTime": window.start.strftime(_ASKED),
                "endTime": (window.end - timedelta(seconds=1)).strftime(_ASKED),
                "frequency": "hourly",
                "recent": "no",
                "limit": str(ASKED_RECORDS),
                "skip": str(skip),
            }
            pull, body = self._api.ask(entry.text, path, params, window, http)
            records = body.get("measurements") if body else None
            if body is None or not isinstance(records, list):
                yield pull
                return
            if records and records == before:
                yield _broken(pull, "the same page twice: it does not go on")
                return
            meta = as_dict(body.get("meta"))
            total, limit = as_count(meta.get("total")), as_count(meta.get("limit"))
            seen, skip, before = seen + len(records), skip + len(records), records
            # A full page is never taken for the last one, whatever the counts say.
            full = limit is None or len(records) >= limit or len(records) in PAGE_SIZES
            if not records and total is not None and seen < total:
                yield _broken(pull, f"{seen} of {total} records and an empty page")
                return
            yield pull
            if not records or not (full or (total is not None and seen < total)):
                return
            if ends_only:
                if total is None or limit is None or seen > limit:
                    return
                # From the first page to the last, full or not.
                skip = seen = max(seen, total - limit)

    def _download_subjects(self, members: Members) -> Iterator[tuple[str, dict[str, list[str]]]]:
        """What one download asks for: all devices at once, and all sites at once."""
        names = sorted(
            {
                name
                for entry in self._entries
                if entry.kind != "site"
                for name in members.names.get(entry.text, ())
            }
        )
        sites = [entry.name for entry in self._entries if entry.kind == "site"]
        if names:
            yield "devices", {"device_names": names}
        if sites:
            yield "sites", {"sites": sites}

    def _download(self, subject: str, who: dict[str, list[str]], window: Window) -> Iterator[Pull]:
        """Pages of the download, by its cursor."""
        asked: dict[str, Any] = {
            "network": "airqo",
            "startDateTime": window.start.strftime(_ASKED),
            "endDateTime": (window.end - timedelta(seconds=1)).strftime(_ASKED),
            "datatype": "calibrated",
            "downloadType": "json",
            "frequency": "hourly",
            **who,
            "pollutants": ["pm2_5", "pm10"],
            "metaDataFields": ["latitude", "longitude"],
            "weatherFields": ["temperature", "humidity"],
        }
        cursors: set[str] = set()
        while True:
            # The page's number, not its opaque cursor, says which page this is in a later pull.
            params = {
                **{key: ",".join(v) if isinstance(v, list) else v for key, v in asked.items()},
                "page": str(len(cursors) + 1),
            }
            params.pop("cursor", None)
            pull, body = self._api.ask(
                subject, DOWNLOAD, params, window, self._api.download_http, post=asked
            )
            if body is None or not isinstance(body.get("data"), list):
                yield pull
                return
            rows, state = body["data"], as_dict(body.get("metadata"))
            cursor = state.get("next")
            if str(cursor) in cursors or (state.get("has_more") and not cursor):
                yield _broken(pull, "more records without a way to them")
                return
            full = len(rows) in DOWNLOAD_SIZES or (not state and len(rows) >= ASKED_RECORDS)
            if full and not cursor and not cursors:
                yield from self._cut_short(pull, subject, who, window)
                return
            yield pull
            if not cursor or not (state.get("has_more") or rows):
                return
            cursors.add(str(cursor))
            asked = {**asked, "cursor": cursor}

    def _cut_short(
        self, pull: Pull, subject: str, who: dict[str, list[str]], window: Window
    ) -> Iterator[Pull]:
        """An answer that may be cut short, and without a cursor: the halves of its window too."""
        hours = (window.end - window.start) // HOUR
        # A server that minds no window would be asked for ever smaller ones.
        stuck = pull.answer is None or self.parse([pull.answer]).versions.is_empty()
        if stuck or hours < 2 * SHORTEST_HALF_HOURS:
            yield _broken(pull, "as many records as it gives at once, without a way to the others")
            return
        yield pull
        for half in window.chunks(-(-hours // 2) * HOUR):
            yield from self._download(subject, who, half)

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
                            yield Pull(pull.subject, pull.answer, failure)
                            continue
                    if not seen.speaks:
                        yield Pull(pull.subject, pull.answer, PermanentFailure(_NOT_LISTED))
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


def _broken(pull: Pull, problem: str) -> Pull:
    return Pull(pull.subject, pull.answer, TransientFailure(f"{TITLE} sent {problem}"))
