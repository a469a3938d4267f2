"""The public archive: a gzipped CSV file a location and local day, read without a key."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from urllib.parse import unquote, urlparse
from zoneinfo import ZoneInfo

import httpx

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http.client import HttpClient, RefusedRequest, concurrently
from aq_resources.network_client import Pull, Station, StationList
from aq_resources.network_toolkit.bodies import as_number
from aq_resources.networks.openaq import files
from aq_resources.networks.openaq.bodies import NAMES
from aq_resources.networks.openaq.settings import ATTRIBUTION, TITLE, WITHOUT_KEY
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.windows import DAY, HOUR, Window, midnight

# A local day's file is written 72 hours after its end; six more are no loss.
ARCHIVED_AFTER = timedelta(hours=78)
WORKERS = 16
# A file missing for longer than this is a day without data, and not one that is late.
LATE_FILE = timedelta(days=7)
# Who has no key describes a station by its newest file of so many days.
DESCRIBED_WITHIN = 10
_UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError)


class Archive:
    """Daily files of the public bucket's layout, read without a key, wherever they lie."""

    def __init__(self, address: str, settings: Settings, now: Callable[[], datetime]) -> None:
        self._url = archive_url(address).rstrip("/")
        self._now = now
        self.http = HttpClient(
            f"{TITLE}'s archive",
            timeout=settings.http_timeout_seconds,
            attempts=settings.http_attempts,
            refusal_hint=_refusal_hint,
        )

    def pull(self, station: str, day: date, window: Window) -> Pull:
        """Fetch the file of a local day.

        Args:
            station: The location's id.
            day: The station's local day.
            window: The hours that the answer is kept for.

        Returns:
            The outcome, with neither answer nor failure where there is no file.
        """
        url = (
            f"{self._url}/records/csv.gz/locationid={station}/year={day:%Y}/month={day:%m}/"
            f"location-{station}-{day:%Y%m%d}.csv.gz"
        )
        try:
            text = self._read(url)
        except (TransientFailure, PermanentFailure) as failure:
            return Pull(f"{station} archive {day}", None, failure)
        if text is None:
            return Pull(station, None)
        return Pull(station, RawAnswer(url, {}, (window.start, window.end), self._now(), 200, text))

    def pull_days(
        self, zones: dict[str, str | None], part: Window
    ) -> Generator[Pull, None, dict[str, datetime]]:
        """Fetch the files of the local days over a window.

        Args:
            zones: The time zone of each station; None where it is not known.
            part: The hours wanted.

        Returns:
            One outcome a file, and in the end up to when each station's hours have come: the
            later ones are for the API. A file that is late is no day without data, so what the
            API is asked for begins before it.
        """
        now = self._now()
        seams = dict.fromkeys(zones, part.start)
        days = []
        for station, zone in zones.items():
            for day, start, end in local_days(part, zone):
                if end + ARCHIVED_AFTER <= now:
                    days.append((station, day, start, end))
                    seams[station] = max(seams[station], min(end, part.end))
        pulls = concurrently(lambda one: self.pull(one[0], one[1], part), days, WORKERS)
        for (station, _, start, end), pull in zip(days, pulls, strict=True):
            if pull.answer is None and pull.failure is None and now < end + LATE_FILE:
                seams[station] = min(seams[station], max(start, part.start))
            yield pull
        return seams

    def stations(self, names: Sequence[str]) -> StationList:
        """What the newest files say of the stations, for who has no key."""
        stations, failures = [], {}
        found = concurrently(self._describe, names, WORKERS)
        for name, station in zip(names, found, strict=True):
            if isinstance(station, Station):
                stations.append(station)
            else:
                failures[name] = station
        return StationList(tuple(stations), failures)

    def _describe(self, name: str) -> Station | TransientFailure | PermanentFailure:
        now = self._now()
        last = (now - ARCHIVED_AFTER).date() - DAY
        window = Window(now - DAY, now)
        for back in range(DESCRIBED_WITHIN):
            pull = self.pull(name, last - back * DAY, window)
            if pull.failure is not None:
                return pull.failure
            if pull.answer is None:
                continue
            rows = files.readable(pull.answer.body)
            if rows.is_empty():
                continue
            row = rows.row(0, named=True)
            parameters = {NAMES[name] for name in rows["parameter"] if name in NAMES}
            return Station(
                name,
                name=str(row["location"]).removesuffix(f"-{name}"),
                latitude=as_number(row["lat"], text=True),
                longitude=as_number(row["lon"], text=True),
                parameters=tuple(sorted(parameters)),
                attribution=ATTRIBUTION,
            )
        return PermanentFailure(
            f"{TITLE}'s archive has no file of location {name} in the {DESCRIBED_WITHIN} days up "
            f"to {last}. {WITHOUT_KEY}"
        )

    def close(self) -> None:
        """Give connections back."""
        self.http.close()

    def _read(self, url: str) -> str | None:
        if url.startswith("file://"):
            try:
                return _unpacked(Path(unquote(urlparse(url).path)).read_bytes())
            except FileNotFoundError:
                return None
            except _UNREADABLE as error:
                raise PermanentFailure(f"{url} cannot be read: {error}") from error
        text = ""

        def unpack(response: httpx.Response) -> str | None:
            """What is wrong with the file, as far as asking again may help."""
            nonlocal text
            try:
                text = _unpacked(response.content)
            except _UNREADABLE as error:
                return f"no gzipped text ({error})"
            if not text:
                return "an empty body"
            return "HTML instead of CSV" if text.lstrip().startswith("<") else None

        try:
            self.http.get(url, None, unpack)
        except RefusedRequest as failure:
            if failure.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise
        return text


def _refusal_hint(response: httpx.Response) -> str:
    if response.status_code != httpx.codes.FORBIDDEN:
        return ""
    return (
        "Its files are read without credentials: make the bucket public, name another copy in "
        "AQ_OPENAQ_ARCHIVE, or set it to none."
    )


def archive_url(address: str) -> str:
    """Where the files are fetched: a public bucket answers plain requests as well.

    An `s3://` address is one on AWS: `AQ_S3_ENDPOINT_URL` is where the platform's own store is,
    and its credentials are for that alone.
    """
    if address.startswith("s3://"):
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        return f"https://{bucket}.s3.amazonaws.com/{prefix}"
    if address.startswith(("http://", "https://", "file://")):
        return address
    return Path(address).expanduser().absolute().as_uri()


def local_days(part: Window, zone: str | None) -> Iterator[tuple[date, datetime, datetime]]:
    """The local days that share an hour with `part`, with their beginnings and ends in UTC.

    Where the zone is not known, every day that is one of them somewhere on earth, with the widest
    bounds that it can have.
    """
    local = _zone(zone)
    if local is None:
        day, last = part.start.date() - DAY, (part.end - HOUR).date() + DAY
    else:
        day = part.start.astimezone(local).date()
        last = (part.end - timedelta(microseconds=1)).astimezone(local).date()
    while day <= last:
        if local is None:
            yield day, midnight(day) - 14 * HOUR, midnight(day + DAY) + 12 * HOUR
        else:
            start, end = (
                datetime.combine(one, time(), local).astimezone(UTC) for one in (day, day + DAY)
            )
            yield day, start, end
        day += DAY


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None


def _unpacked(content: bytes) -> str:
    packed = content.startswith(b"\x1f\x8b")
    return (gzip.decompress(content) if packed else content).decode("utf-8")
