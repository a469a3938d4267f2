"""IRCELINE: Belgium's hourly means through the 52°North timeseries interface, without a login.

Contract: ``GET timeseries?expanded=true`` lists every series with its station, phenomenon and unit;
``POST timeseries/getData`` with ``{timespan, timeseries}`` answers
``{id: {values: [{timestamp, value}]}}``. Stamps are epoch milliseconds and mark the hour's **end**:
one hour is taken off here, and nowhere else. Both ends of a time span count, so a day's question is
answered with 25 points; the first belongs to the day before and is left out.

A station may have several series of one pollutant, since instruments are replaced or run side by
side. All are pulled. The station's reading of an hour is that of the newest series (the highest id)
that has a value for it; ``sensor_id`` names the series (`one_series`).
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import httpx
import msgspec
import polars as pl
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http import HttpClient, RefusedRequest, broken_json, concurrently
from aq_resources.network_settings import Area, NetworkConfig
from aq_resources.networks._client import (
    Parsed,
    Problems,
    Pull,
    Station,
    StationList,
    kept_pull,
    parse_in_batches,
)
from aq_resources.raw_pulls import RawAnswer
from aq_resources.settings import EnvironmentSettings, Settings
from aq_science.readings import INSTANT, KEY, VERSION_SCHEMA, complete_hours
from aq_science.windows import HOUR, Window

TITLE = "IRCELINE"
ATTRIBUTION = "IRCEL-CELINE (https://www.irceline.be), CC BY 4.0"
API_URL = "https://geo.irceline.be/sos/api/v1"
COUNTRY, TIMEZONE = "BE", "Europe/Brussels"

# The interface answers about a year a call.
SPAN = timedelta(days=365)
# No limit is documented. A series of a year took 1.4 s, so twenty stay within a time-out of 30 s.
POINTS_PER_REQUEST = 20 * 365 * 24
LIST_LIFE = timedelta(hours=6)
# What "which hour is newest?" looks at: so far back, by so many series, in so short a time.
NEWEST_WITHIN = timedelta(hours=12)
NEWEST_SERIES = 40
NEWEST_TIMEOUT_SECONDS = 8.0
# What a series that the network cannot serve makes of a question about many, and how many
# questions its search may cost.
_SPLIT_ON = frozenset({400, 404, 500})
SPLIT_REQUESTS = 64
MISSING_BELOW = -99.9
_HOUR_MS = 3_600_000
_LAST_MS = 4_102_444_800_000  # 2100-01-01
_ASKED = "%Y-%m-%dT%H:%M:%SZ"

# Phenomenon -> parameter. Ids are not relied on: they differ between sources.
PHENOMENA = {
    "particulate matter < 10 µm": "pm10",
    "particulate matter < 2.5 µm": "pm25",
    "particulate matter < 1 µm": "pm1",
    "black carbon": "bc",
    "nitrogen monoxide": "no",
    "nitrogen dioxide": "no2",
    "ozone": "o3",
    "sulphur dioxide": "so2",
    "sulfur dioxide": "so2",
    "carbon monoxide": "co",
    "carbon dioxide": "co2",
    "temperature": "temperature",
    "relative humidity": "humidity",
    "atmospheric pressure": "pressure",
}


class NetworkSettings(EnvironmentSettings):
    """Address of IRCELINE; it asks for no credentials."""

    model_config = SettingsConfigDict(env_prefix="AQ_IRCELINE_", env_ignore_empty=True)

    url: str = Field(API_URL, description="Base of the IRCELINE API")


class SeriesMeaning(msgspec.Struct, frozen=True):
    """What a series measures, in the network's own words; stored beside every answer.

    An answer names its series by id alone, and the list of series changes over the years.
    """

    station: str
    phenomenon: str
    uom: str = ""
    procedure: str = ""


@dataclass(frozen=True)
class ListedSeries:
    """One series of the network's list that has a parameter here."""

    series_id: str
    meaning: SeriesMeaning
    parameter: str
    label: str
    latitude: float | None
    longitude: float | None


class _Point(msgspec.Struct, gc=False):
    timestamp: int
    value: float | None = None


class _Values(msgspec.Struct):
    values: list[_Point]


_strict_body = msgspec.json.Decoder(dict[str, _Values])
_meanings = msgspec.json.Decoder(dict[str, SeriesMeaning])


def create(
    config: NetworkConfig, settings: Settings, now: Callable[[], datetime]
) -> IrcelineClient:
    """The client for the stations, or the area, of ``config``."""
    return IrcelineClient(config, NetworkSettings(), settings, now)


class IrcelineClient:
    """Client of IRCELINE (see `NetworkClient`)."""

    name = "irceline"
    title = TITLE

    def __init__(
        self,
        config: NetworkConfig,
        own: NetworkSettings,
        settings: Settings,
        now: Callable[[], datetime],
    ) -> None:
        self.span = timedelta(days=config.span_days) if config.span_days else SPAN
        self._config = config
        self._url = own.url.rstrip("/")
        self._now = now
        self._workers = settings.http_concurrency
        self._http = HttpClient(
            TITLE,
            timeout=settings.http_timeout_seconds,
            attempts=settings.http_attempts,
            explain=_reason,
        )
        self._newest_http = HttpClient(
            TITLE,
            timeout=min(NEWEST_TIMEOUT_SECONDS, settings.http_timeout_seconds),
            attempts=1,
            explain=_reason,
        )
        self._lock = threading.Lock()
        self._listed: tuple[datetime, list[ListedSeries]] | None = None
        self._freshest: list[str] = []
        self._turn = 0

    def pull(self, window: Window) -> Iterator[Pull]:
        """As many series in one request as an answer can hold, span by span."""
        try:
            wanted, unknown = self._wanted(self._http)
        except (TransientFailure, PermanentFailure) as failure:
            yield Pull("list of series", None, failure)
            return
        for station, no_series in unknown.items():
            yield Pull(station, None, no_series)
        requests = (
            (batch, part, len(cut))
            for part in window.chunks(self.span)
            for cut in [list(batches(wanted, part))]
            for batch in cut
        )
        for pulls, of in concurrently(
            lambda request: (self._ask(*request[:2], self._http), request[2]),
            requests,
            self._workers,
        ):
            yield from (replace(pull, of=of) for pull in pulls)

    def newest_hour(self) -> datetime | None:
        """By one question about some series: those that were newest last time, others in turn."""
        now = self._now()
        wanted, _ = self._wanted(self._newest_http)
        asked = self._some_series(wanted)
        if not asked:
            return None
        pulls = self._ask(asked, Window(now - NEWEST_WITHIN, now), self._newest_http)
        answers = [pull.answer for pull in pulls if pull.failure is None and pull.answer]
        if not answers:
            raise next(pull.failure for pull in pulls if pull.failure is not None)
        versions = self.parse(answers).versions
        if versions.is_empty():
            return None
        newest = versions.filter(pl.col("hour") == pl.col("hour").max())
        self._freshest = newest["sensor_id"].unique().to_list()
        hour: datetime = newest["hour"][0]
        return hour

    def _some_series(self, wanted: list[ListedSeries]) -> list[ListedSeries]:
        """A silent series among many must not hide that the others go on."""
        by_id = {one.series_id: one for one in wanted}
        half = NEWEST_SERIES // 2
        fresh = [by_id[name] for name in sorted(self._freshest) if name in by_id][:half]
        first, self._turn = self._turn, self._turn + half
        turn = (wanted[(first + n) % len(wanted)] for n in range(len(wanted)))
        return list(dict.fromkeys([*fresh, *turn]))[:NEWEST_SERIES]

    def stations(self) -> StationList:
        """Stations by the list of series."""
        try:
            wanted, failures = self._wanted(self._http)
        except (TransientFailure, PermanentFailure) as failure:
            return StationList((), {TITLE: failure})
        by_station: defaultdict[str, list[ListedSeries]] = defaultdict(list)
        for one in wanted:
            by_station[one.meaning.station].append(one)
        described = tuple(_describe(name, series) for name, series in by_station.items())
        return StationList(described, dict(failures))

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        """Versions of every complete hour within the window each answer was asked for."""
        parsed = parse_in_batches(answers, _Batch)
        return replace(parsed, versions=one_series(parsed.versions))

    def close(self) -> None:
        for http in (self._http, self._newest_http):
            http.close()

    def _ask(self, batch: Sequence[ListedSeries], window: Window, http: HttpClient) -> list[Pull]:
        """Ask about a batch; where it is refused, about ever smaller parts, to find the culprit.

        A series that was taken away since the list was read must not cost the others' readings. No
        search where no part succeeds: then it is the network that is ill.
        """
        done: list[Pull] = []
        parts: list[Sequence[ListedSeries]] = [batch]
        requests = 0
        answered = False
        while parts:
            pulls = [self._ask_once(part, window, http) for part in parts]
            requests += len(parts)
            answered = answered or any(pull.failure is None for pull in pulls)
            search = requests < SPLIT_REQUESTS if answered else requests == 1
            halves: list[Sequence[ListedSeries]] = []
            for part, pull in zip(parts, pulls, strict=True):
                if search and len(part) > 1 and _status(pull.failure) in _SPLIT_ON:
                    halves += [part[: len(part) // 2], part[len(part) // 2 :]]
                else:
                    done.append(pull)
            parts = halves
        if requests > 1:
            with self._lock:
                self._listed = None
        return done

    def _ask_once(self, batch: Sequence[ListedSeries], window: Window, http: HttpClient) -> Pull:
        url = f"{self._url}/timeseries/getData"
        ids = [one.series_id for one in batch]
        body = {
            "timespan": f"{window.start.strftime(_ASKED)}/{window.end.strftime(_ASKED)}",
            "timeseries": ids,
        }
        params = {
            "timespan": str(body["timespan"]),
            "timeseries": ",".join(ids),
            "series": msgspec.json.encode({one.series_id: one.meaning for one in batch}).decode(),
        }
        subject = f"series {ids[0]}" + (f" to {ids[-1]} ({len(ids)})" if len(ids) > 1 else "")
        return kept_pull(
            subject,
            url,
            params,
            window,
            self._now,
            lambda: http.post(url, body, broken_json),
        )

    def _wanted(
        self, http: HttpClient
    ) -> tuple[list[ListedSeries], dict[str, TransientFailure | PermanentFailure]]:
        """Series of the configured stations, and a failure for each station that has none."""
        listed = self._series(http)
        stations, area = self._config.stations, self._config.area
        if not stations and area is not None:
            found = [one for one in listed if _within(one, area)]
            if not found:
                raise PermanentFailure(
                    f"{TITLE} has no station within {area.radius_km:g} km of {area.latitude:g}, "
                    f"{area.longitude:g}: correct networks.irceline.area."
                )
            return found, {}
        known = {one.meaning.station for one in listed}
        unknown: dict[str, TransientFailure | PermanentFailure] = {
            station: PermanentFailure(
                f"{TITLE} has no series of station {station!r}: correct networks.irceline.stations."
            )
            for station in stations
            if station not in known
        }
        return [one for one in listed if one.meaning.station in stations], unknown

    def _series(self, http: HttpClient) -> list[ListedSeries]:
        """Every series with a parameter here, by station; asked again after some hours."""
        with self._lock:
            now = self._now()
            if self._listed is not None and abs(now - self._listed[0]) < LIST_LIFE:
                return self._listed[1]
            entries = _entries(self._get(http, "timeseries", {"expanded": "true"}))
            read = [one for entry in entries if (one := _listed_series(entry)) is not None]
            if entries and not any(_phenomenon(entry) for entry in entries):
                example = str(entries[0])[:120]
                raise PermanentFailure(
                    f"{TITLE}'s list of series no longer has the known form: {example}"
                )
            if any(one.latitude is None for one in read):
                read = self._placed(read, http)
            read.sort(
                key=lambda one: (_number_first(one.meaning.station), one.parameter, _rank(one))
            )
            self._listed = (now, read)
            return read

    def _placed(self, listed: list[ListedSeries], http: HttpClient) -> list[ListedSeries]:
        """Positions from the list of stations, for a list of series that gives none."""
        positions = {}
        for entry in _entries(self._get(http, "stations", {})):
            positions[_text(_at(entry, "properties", "id"))] = _position(entry)

        def placed(one: ListedSeries) -> ListedSeries:
            if one.latitude is not None:
                return one
            latitude, longitude = positions.get(one.meaning.station, (None, None))
            return replace(one, latitude=latitude, longitude=longitude)

        return [placed(one) for one in listed]

    def _get(self, http: HttpClient, path: str, params: dict[str, str]) -> Any:
        return msgspec.json.decode(http.get(f"{self._url}/{path}", params, broken_json).content)


def batches(series: Sequence[ListedSeries], window: Window) -> Iterator[Sequence[ListedSeries]]:
    """Series cut into questions whose answers stay within `POINTS_PER_REQUEST`.

    Series of one station and parameter stay together, so that what is chosen between was received
    in the same instant. ``series`` is sorted by station and parameter.
    """
    room = max(1, int(POINTS_PER_REQUEST / max(1.0, (window.end - window.start) / HOUR)))
    batch: list[ListedSeries] = []
    for _, members in groupby(series, lambda one: (one.meaning.station, one.parameter)):
        group = list(members)
        if batch and len(batch) + len(group) > room:
            yield batch
            batch = []
        batch = batch + group
    if batch:
        yield batch


def one_series(versions: pl.DataFrame) -> pl.DataFrame:
    """Versions of one series a station, parameter and hour: the newest that has a value.

    The newest series is the one with the highest id. One that was known to have a value stays
    chosen where a later pull brings only an older series' value.
    """
    pair = ("station_id", "parameter")
    several = (
        versions.group_by(pair).agg(pl.col("sensor_id").n_unique()).filter(pl.col("sensor_id") > 1)
    )
    if several.is_empty():
        return versions
    contested = versions.join(several.select(pair), on=pair, how="semi", maintain_order="left")
    settled = versions.join(several.select(pair), on=pair, how="anti", maintain_order="left")
    names = contested["sensor_id"].cast(pl.String).unique().drop_nulls().to_list()
    order = {name: place for place, name in enumerate(sorted(names, key=_number_first))}
    rank = pl.col("sensor_id").cast(pl.String).replace_strict(order, return_dtype=pl.Int64)
    best = (
        contested.with_columns(rank=rank)
        .group_by(*KEY, "pulled_at")
        .agg(pl.col("rank").max().alias("best"))
        .sort(*KEY, "pulled_at")
        .with_columns(pl.col("best").cum_max().over(KEY))
    )
    chosen = (
        contested.with_columns(rank=rank)
        .join(best, on=[*KEY, "pulled_at"], maintain_order="left")
        .filter(pl.col("rank") == pl.col("best"))
        .select(versions.columns)
    )
    return pl.concat([settled, chosen])


@dataclass
class _Batch:
    """Points of many answers, column by column."""

    problems: Problems
    unreadable: set[str]
    # One row a series of an answer, and how many points it has.
    series: list[tuple[str, str, str | None, str, datetime, datetime, datetime]] = field(
        default_factory=list
    )
    points: list[int] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)

    def add(self, answer: RawAnswer) -> None:
        """Take an answer's points, or note why there are none."""
        try:
            meanings = _meanings.decode(answer.params.get("series", ""))
        except msgspec.DecodeError:
            self.problems.add("unknown", "series_not_described", answer.url)
            return
        found = self._series_of(answer, meanings)
        if found is None:
            return
        for series_id, meaning in meanings.items():
            if series_id not in found:
                self.problems.add(meaning.station, "series_absent", series_id)
        for series_id, values in found.items():
            if (told := meanings.get(series_id)) is None:
                self.problems.add("unknown", "series_not_asked_for", series_id)
            elif values is not None:
                self._take(series_id, told, values.values, answer)
        self._note_unreadable(meanings, found)

    def _series_of(
        self, answer: RawAnswer, meanings: Mapping[str, SeriesMeaning]
    ) -> Mapping[str, _Values | None] | None:
        """An answer's points by series; None for an answer that holds none at all."""
        stations = {meaning.station for meaning in meanings.values()}
        if answer.status != httpx.codes.OK:
            for station in stations:
                self.problems.add(station, f"status_{answer.status}", answer.body)
            return None
        try:
            try:
                return _strict_body.decode(answer.body)
            except msgspec.ValidationError:
                # Some record is not of the known form: read the others one by one.
                return self._lenient(answer.body, meanings)
        except msgspec.DecodeError as error:
            for station in stations:
                self.problems.add(station, "not_json", f"{error}: {answer.body[:60]}")
            self.unreadable |= stations
            return None

    def _take(
        self, series_id: str, told: SeriesMeaning, points: list[_Point], answer: RawAnswer
    ) -> None:
        parameter = parameter_of(told.phenomenon)
        if parameter is None:
            return
        times = (*answer.window, answer.pulled_at)
        self.series.append((told.station, parameter, told.uom or None, series_id, *times))
        self.points.append(len(points))
        self.stamps += [point.timestamp for point in points]
        self.values += [point.value for point in points]

    def _note_unreadable(
        self, meanings: Mapping[str, SeriesMeaning], found: Mapping[str, _Values | None]
    ) -> None:
        """Stations of which every series has lost its form."""
        sound = {
            meanings[series_id].station
            for series_id, values in found.items()
            if series_id in meanings and values is not None
        }
        self.unreadable |= {meaning.station for meaning in meanings.values()} - sound

    def _lenient(
        self, body: str, meanings: Mapping[str, SeriesMeaning]
    ) -> dict[str, _Values | None]:
        """Series of a body some of whose records are not of the known form; None for none."""
        decoded = msgspec.json.decode(body)
        if not isinstance(decoded, dict):
            for station in {meaning.station for meaning in meanings.values()}:
                self.problems.add(station, "no_series", body)
            return dict.fromkeys(meanings)
        read: dict[str, _Values | None] = {}
        for series_id, entry in decoded.items():
            told = meanings.get(series_id)
            station = told.station if told else "unknown"
            rows = entry.get("values") if isinstance(entry, dict) else None
            if not isinstance(rows, list):
                self.problems.add(station, "no_values_list", f"{series_id}: {entry}")
                read[series_id] = None
                continue
            points = [
                point for row in rows if (point := self._point(row, station, series_id)) is not None
            ]
            read[series_id] = _Values(points) if points or not rows else None
        return read

    def _point(self, row: Any, station: str, series_id: str) -> _Point | None:
        stamp = row.get("timestamp") if isinstance(row, dict) else None
        if isinstance(stamp, bool) or not isinstance(stamp, int) or abs(stamp) > _LAST_MS:
            self.problems.add(station, "no_timestamp", f"{series_id}: {row}")
            return None
        given = row.get("value")
        if given is None or given == "NaN":
            return _Point(stamp)
        number = _number(given)
        if number is None:
            self.problems.add(station, "not_a_number", f"{series_id} {stamp}: {given!r}")
        elif isinstance(given, str):
            # Unambiguous, so it is read; still a change of form that somebody should see.
            self.problems.add(station, "number_as_text", f"{series_id} {stamp}: {given!r}")
        return _Point(stamp, number)

    def versions(self) -> pl.DataFrame:
        """Everything added; of an hour given twice by a series the last value stands."""
        if not self.series:
            return VERSION_SCHEMA.to_frame()
        named = ("station_id", "parameter", "unit_native", "sensor_id", "start", "end", "pulled_at")
        series = pl.DataFrame(
            self.series,
            schema={
                **{name: VERSION_SCHEMA[name] for name in named[:4]},
                **dict.fromkeys(named[4:], INSTANT),
            },
            orient="row",
        ).with_row_index("place")
        counts = pl.Series("count", self.points, pl.UInt32)
        places = series.select(pl.col("place").repeat_by(counts).explode().drop_nulls())
        points = pl.DataFrame(
            {"place": places["place"], "stamp": self.stamps, "value_native": self.values},
            schema_overrides={"stamp": pl.Int64(), "value_native": pl.Float64()},
        )
        stamp = pl.col("stamp")
        in_range = stamp.is_between(0, _LAST_MS)
        self._note(points.filter(~in_range), "timestamp_out_of_range")
        points = points.filter(in_range)
        whole = stamp % _HOUR_MS == 0
        self._note(points.filter(~whole), "not_a_whole_hour")
        points = points.filter(whole).with_columns(
            duplicate=pl.struct("place", "stamp").is_duplicated()
        )
        doubles = points.filter("duplicate")
        if not doubles.is_empty():
            self._note(
                doubles.filter(~pl.struct("place", "stamp").is_first_distinct()), "duplicate_hour"
            )
            points = points.unique(("place", "stamp"), keep="last", maintain_order=True)
        value = pl.col("value_native")
        return complete_hours(
            points.filter(value.is_finite() & (value > MISSING_BELOW))
            .with_columns(hour=pl.from_epoch(stamp - _HOUR_MS, "ms").cast(INSTANT))
            .join(series, on="place", maintain_order="left")
            .filter(pl.col("hour").is_between("start", "end", closed="left"))
            .with_columns(coverage=pl.lit(None, pl.Float64))
            .select(VERSION_SCHEMA.names())
        )

    def _note(self, bad: pl.DataFrame, kind: str) -> None:
        """Count bad points by their series."""
        counts = bad.group_by("place", maintain_order=True).agg(pl.len(), pl.col("stamp").first())
        for place, count, stamp in counts.iter_rows():
            station, _, _, series_id, *_ = self.series[place]
            self.problems.add(station, kind, f"{series_id}: {stamp}", count)


def parameter_of(phenomenon: str) -> str | None:
    """The parameter that a phenomenon's label names."""
    label = " ".join(phenomenon.casefold().replace("μ", "µ").split())
    return PHENOMENA.get(label, PHENOMENA.get(label.replace(" um", " µm")))


def city_of(label: str) -> str | None:
    """The place in "CODE - Name (street)"; an airport's number is none."""
    _, dash, name = label.partition(" - ")
    city = name.split("(")[0].strip()
    return city if dash and city and not city.casefold().startswith("aeroport") else None


def _describe(station: str, series: list[ListedSeries]) -> Station:
    first = series[0]
    return Station(
        station,
        name=first.label or None,
        latitude=first.latitude,
        longitude=first.longitude,
        country=COUNTRY,
        city=city_of(first.label),
        timezone=TIMEZONE,
        parameters=tuple(sorted({one.parameter for one in series})),
        attribution=ATTRIBUTION,
    )


def _listed_series(entry: Any) -> ListedSeries | None:
    phenomenon = _phenomenon(entry)
    parameter = parameter_of(phenomenon)
    # The feature is the station under another name, and its id is the same.
    station = _text(_at(entry, "station", "properties", "id")) or _text(
        _at(entry, "parameters", "feature", "id")
    )
    series_id = _text(_at(entry, "id"))
    if parameter is None or not station or not series_id:
        return None
    return ListedSeries(
        series_id,
        SeriesMeaning(
            station,
            phenomenon,
            _text(_at(entry, "uom")),
            _text(_at(entry, "parameters", "procedure", "label")),
        ),
        parameter,
        _text(_at(entry, "station", "properties", "label"))
        or _text(_at(entry, "parameters", "feature", "label")),
        *_position(_at(entry, "station")),
    )


def _phenomenon(entry: Any) -> str:
    return _text(_at(entry, "parameters", "phenomenon", "label"))


def _position(feature: Any) -> tuple[float | None, float | None]:
    """(latitude, longitude) of ``[lon, lat, "NaN"]``."""
    given = _at(feature, "geometry", "coordinates")
    if not isinstance(given, list) or len(given) < 2:
        return None, None
    longitude, latitude = _number(given[0]), _number(given[1])
    return (None, None) if latitude is None or longitude is None else (latitude, longitude)


def _within(one: ListedSeries, area: Area) -> bool:
    if one.latitude is None or one.longitude is None:
        return False
    return area.km_to(one.latitude, one.longitude) <= area.radius_km


def _entries(decoded: Any) -> list[Any]:
    if not isinstance(decoded, list):
        raise PermanentFailure(f"{TITLE} answered no list: {str(decoded)[:120]}")
    return decoded


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _number_first(name: str) -> tuple[int, str]:
    return (int(name) if name.isascii() and name.isdecimal() else -1, name)


def _rank(one: ListedSeries) -> tuple[int, str]:
    return _number_first(one.series_id)


def _status(failure: TransientFailure | PermanentFailure | None) -> int | None:
    if isinstance(failure, RefusedRequest):
        return failure.response.status_code
    return failure.status if isinstance(failure, TransientFailure) else None


def _reason(response: httpx.Response) -> str:
    """What the interface says about a refusal, in its own words."""
    try:
        said = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return ""
    told = _text(_at(said, "userMessage")) or _text(_at(said, "reason"))
    return f"It says: {told[:200]}" if told else ""
