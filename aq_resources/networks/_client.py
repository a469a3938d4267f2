"""What every network client offers, and the shapes that pass between it and the assets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import httpx
import polars as pl

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http import BrokenAnswer, RefusedRequest
from aq_resources.raw_pulls import RawAnswer
from aq_science.readings import PARAMETER, VERSION_SCHEMA, complete_hours
from aq_science.windows import Window

# Records that are turned into a frame at once.
BATCH_ROWS = 200_000


@dataclass(frozen=True)
class Pull:
    """Outcome of one request: the answer if there was one, and the failure if it was no good."""

    subject: str
    answer: RawAnswer | None
    failure: TransientFailure | PermanentFailure | None = None
    # How many requests bring the answer's window, where it is not one a configured station.
    of: int | None = None


def kept_pull(
    subject: str,
    url: str,
    params: dict[str, str],
    window: Window,
    now: Callable[[], datetime],
    ask: Callable[[], httpx.Response],
) -> Pull:
    """Outcome of ``ask``: what the network answered is kept as it came, good or not."""

    def keep(response: httpx.Response) -> RawAnswer:
        asked = (window.start, window.end)
        return RawAnswer(url, params, asked, now(), response.status_code, response.text)

    try:
        return Pull(subject, keep(ask()))
    except (BrokenAnswer, RefusedRequest) as failure:
        return Pull(subject, keep(failure.response), failure)
    except (TransientFailure, PermanentFailure) as failure:
        return Pull(subject, None, failure)


@dataclass
class Problems:
    """Bad records met while parsing: counted by station and kind, with one example of each."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, station: str, kind: str, example: str, count: int = 1) -> None:
        """Note ``count`` records of ``station`` that are bad in the same way."""
        self.counts[station, kind] += count
        self.examples.setdefault((station, kind), example[:120])

    def merge(self, other: Problems) -> None:
        """Add what another parse met."""
        self.counts += other.counts
        self.examples = other.examples | self.examples

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def rows(self) -> list[dict[str, str | int]]:
        """One row a station and kind, most frequent first."""
        return [
            {
                "station_id": station,
                "problem": kind,
                "records": count,
                "example": self.examples[station, kind],
            }
            for (station, kind), count in self.counts.most_common()
        ]


@dataclass(frozen=True)
class Parsed:
    """Readings of some answers, as versions (`VERSION_SCHEMA`), and what was wrong with them."""

    versions: pl.DataFrame
    problems: Problems
    # Stations none of whose records could be read: their answers no longer have the known form.
    unreadable: tuple[str, ...] = ()

    @classmethod
    def nothing(cls) -> Parsed:
        return cls(VERSION_SCHEMA.to_frame(), Problems())


class Batch(Protocol):
    """Records of many answers, column by column: polars costs by the call more than by the row."""

    @property
    def stamps(self) -> Sized:
        """One a record taken."""

    def add(self, answer: RawAnswer) -> None:
        """Take an answer's records, or note why there are none."""

    def versions(self) -> pl.DataFrame:
        """Everything added, as versions (`VERSION_SCHEMA`)."""


def parse_in_batches(
    answers: Iterable[RawAnswer], new_batch: Callable[[Problems, set[str]], Batch]
) -> Parsed:
    """Every answer read, some `BATCH_ROWS` records at a time.

    ``new_batch`` takes the problems and the unreadable stations that all batches share.
    """
    problems = Problems()
    unreadable: set[str] = set()
    versions = [VERSION_SCHEMA.to_frame()]
    batch = new_batch(problems, unreadable)
    for answer in answers:
        batch.add(answer)
        if len(batch.stamps) >= BATCH_ROWS:
            versions.append(batch.versions())
            batch = new_batch(problems, unreadable)
    versions.append(batch.versions())
    return Parsed(pl.concat(versions), problems, tuple(sorted(unreadable)))


def versions_of(long: pl.DataFrame, fields: Mapping[str, tuple[str, str]]) -> pl.DataFrame:
    """Complete hours (`VERSION_SCHEMA`) of rows whose ``field`` is a key of ``fields``.

    ``long``: station_id, field, hour, value_native, duplicate and pulled_at. ``fields``: parameter
    and unit by the network's own key.
    """
    names = {key: parameter for key, (parameter, _) in fields.items()}
    units = {key: unit for key, (_, unit) in fields.items()}
    field = pl.col("field")
    return complete_hours(
        long.select(
            "station_id",
            field.replace_strict(names, return_dtype=PARAMETER).alias("parameter"),
            "hour",
            "value_native",
            field.replace_strict(units, return_dtype=pl.Categorical()).alias("unit_native"),
            pl.lit(None, pl.Float64).alias("coverage"),
            pl.lit(None, pl.Categorical()).alias("sensor_id"),
            "duplicate",
            "pulled_at",
        )
    )


@dataclass(frozen=True)
class Station:
    """One station as its network describes it; None where the network does not say."""

    station_id: str
    name: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    country: str | None = None
    city: str | None = None
    timezone: str | None = None
    parameters: tuple[str, ...] = ()
    attribution: str = ""


@dataclass(frozen=True)
class StationList:
    """The stations that could be described, and why the others could not."""

    stations: tuple[Station, ...]
    failures: dict[str, TransientFailure | PermanentFailure]


One = TypeVar("One")


class FewInTurn(Generic[One]):
    """Which few of many to ask for the newest hour: the freshest of last time, others in turn.

    A silent one among many must not hide that the others go on.
    """

    def __init__(self, few: int) -> None:
        self._few = few
        self._next = 0
        self.freshest: One | None = None

    def choose(self, many: Sequence[One]) -> list[One]:
        """Some of ``many``, which must not be empty."""
        turn = [many[(self._next + n) % len(many)] for n in range(self._few)]
        self._next = (self._next + self._few - 1) % len(many)
        preferred = [one for one in many if one == self.freshest]
        return list(dict.fromkeys([*preferred, *turn]))[: self._few]


class NetworkClient(Protocol):
    """A network. Every time is UTC; every stamp an hour's beginning."""

    name: str
    title: str
    span: timedelta
    """The longest window one request may ask for."""

    def stations(self) -> StationList:
        """Describe the configured stations."""

    def pull(self, window: Window) -> Iterator[Pull]:
        """Ask for every reading in ``window``, one request after another; failures are outcomes."""

    def newest_hour(self) -> datetime | None:
        """Start of the newest complete hour with a reading, by one cheap question, asked once.

        None where the network shows none of the last hours. Raises `TransientFailure` or
        `PermanentFailure`.
        """

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        """Read stored answers. Never raises for a bad record or body: it counts them."""

    def close(self) -> None:
        """Give connections back."""


@runtime_checkable
class DimensionClient(Protocol):
    """A client whose module names ``DIMENSIONS``: tables of the network beside its stations."""

    def dimension(self, name: str) -> list[dict[str, Any]] | None:
        """Rows of one of them; None where the network shows them to others alone.

        Raises `TransientFailure` or `PermanentFailure`.
        """


@runtime_checkable
class ChoosingClient(Protocol):
    """A client whose stations may have several sensors for a parameter."""

    def choose(self, versions: pl.DataFrame) -> pl.DataFrame:
        """Of each hour's versions, out of one folder or many, those of the sensor that counts."""
