"""The contract of a network: what every client offers, and the values that pass to the assets.

docs/adding-a-network.md leads through it. What helps to write a client is in
`aq_resources.network_toolkit`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

import polars as pl

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.versions import ABSENCE_SCHEMA, VERSION_SCHEMA, WHOLE_SCHEMA
from aq_science.windows import Window

# Why a request failed, by whether another try may help.
Failure = TransientFailure | PermanentFailure


@dataclass(frozen=True)
class Pull:
    """Outcome of one request.

    Attributes:
        source: What was asked about, for messages: a station, a sensor, a page of a list.
        answer: What the network answered, good or not; None where it did not answer.
        failure: Why the request brought no readings; None where it did, or where there are none.
        expected_answers: How many requests bring the answer's window; None for one a configured
            station. Progress counts them.
    """

    source: str
    answer: RawAnswer | None
    failure: Failure | None = None
    expected_answers: int | None = None


# The kind of problem that an answer is which makes its parser raise.
SET_ASIDE = "answer_set_aside"


@dataclass
class Problems:
    """Bad records met while parsing: counted by station and kind, with one example of each."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, station: str, kind: str, example: str, count: int = 1) -> None:
        """Note records that are bad in the same way.

        Args:
            station: The station's id, or what else the answer was about.
            kind: What is wrong, in one snake_case word: `not_json`, `duplicate_hour`.
            example: One of the records as it came; its first 120 characters are kept.
            count: How many records.
        """
        self.counts[station, kind] += count
        self.examples.setdefault((station, kind), example[:120])

    def merge(self, other: Problems) -> None:
        """Add what another parse met."""
        self.counts += other.counts
        self.examples = other.examples | self.examples

    @property
    def total(self) -> int:
        """Bad records of all stations and kinds."""
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
    """Readings of some answers.

    Attributes:
        versions: `VERSION_SCHEMA`, of complete hours within the window each answer was asked for.
        problems: What was wrong with the answers.
        unreadable: Stations none of whose records could be read: their answers no longer have the
            known form. Sorted.
        absences: `ABSENCE_SCHEMA`, hours of which an answer says that there is no value.
        whole: `WHOLE_SCHEMA`, windows of which an answer names every hour that has a value.
    """

    versions: pl.DataFrame
    problems: Problems
    unreadable: tuple[str, ...] = ()
    absences: pl.DataFrame = field(default_factory=ABSENCE_SCHEMA.to_frame)
    whole: pl.DataFrame = field(default_factory=WHOLE_SCHEMA.to_frame)

    @classmethod
    def nothing(cls) -> Parsed:
        """What no answers hold."""
        return cls(VERSION_SCHEMA.to_frame(), Problems())


@dataclass(frozen=True)
class Station:
    """One station as its network describes it; None where the network does not say.

    Attributes:
        station_id: The id that the versions carry.
        name: As people call it.
        latitude: Degrees north, as the network says it, right or wrong.
        longitude: Degrees east, likewise.
        country: ISO 3166-1 alpha-2 code.
        city: Town or district.
        timezone: IANA name, such as `Europe/Brussels`.
        parameters: Canonical names of what it measures.
        attribution: Who is to be credited for its data.
    """

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
    """The stations that could be described, and why the others could not, by id."""

    stations: tuple[Station, ...]
    failures: dict[str, Failure]


class NetworkClient(Protocol):
    """A network. Every time is UTC, every stamp an hour's beginning, every window half-open."""

    name: str
    """The name of the network's package, which is its key in networks.yaml."""
    title: str
    """The network's name as people write it."""
    span: timedelta
    """The longest window one request may ask for."""

    def stations(self) -> StationList:
        """Describe the configured stations.

        Returns:
            The stations, and a failure for each that could not be described; an unreachable
            network is a failure of each and is not raised.
        """

    def pull(self, window: Window) -> Iterator[Pull]:
        """Ask for every reading of the configured stations.

        Args:
            window: The hours wanted, cut into requests of at most `span`.

        Returns:
            One outcome a request, as they come. A failure is an outcome, so that one station does
            not stop the others; the answer of a refused or broken request is kept with it.

        Raises:
            PermanentFailure: Where no request makes sense, as where a limit rules the pull out.
        """

    def newest_hour(self) -> datetime | None:
        """Ask cheaply, and once, which hour is the newest.

        Returns:
            Start of the newest complete hour with a reading; None where the last hours have none.

        Raises:
            TransientFailure: The network cannot be asked now.
            PermanentFailure: The network refuses; the message says what to fix.
        """

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        """Read stored answers, by what is in them alone.

        Args:
            answers: Answers of this network, today's or years old, good or not, in any order.

        Returns:
            Their readings as versions. A bad record or body is counted in `problems`, and its
            neighbours are read; nothing is raised for it. An answer that makes the parser raise
            all the same is set aside, and is a problem of the kind `answer_set_aside`.
        """

    def close(self) -> None:
        """Give connections back."""


@runtime_checkable
class DimensionClient(Protocol):
    """A client whose package names `DIMENSIONS`: tables of the network beside its stations."""

    def dimension(self, name: str) -> list[dict[str, Any]] | None:
        """List one of those tables.

        Args:
            name: One of `DIMENSIONS`.

        Returns:
            Its rows; None where the network shows them only to others.

        Raises:
            TransientFailure: The network cannot be asked now.
            PermanentFailure: The network refuses; the message says what to fix.
        """


@runtime_checkable
class PlacedClient(Protocol):
    """A client whose package says `PLACES = True`: its records say where they were measured."""

    def places(self, answers: Iterable[RawAnswer]) -> pl.DataFrame:
        """Read the places.

        Args:
            answers: Stored answers.

        Returns:
            `PLACE_SCHEMA` (`aq_science.places`), a row a record; none for answers that cannot be
            read, which `parse` counts.
        """


@runtime_checkable
class QueueClient(Protocol):
    """A client whose answers are taken from a queue: none comes twice but after a crash."""

    def stored(self) -> None:
        """All that was pulled is in the store: it need not be pulled again."""


@runtime_checkable
class SensorSelectingClient(Protocol):
    """A client whose stations may have several sensors for a parameter."""

    def select_sensor(self, versions: pl.DataFrame) -> pl.DataFrame:
        """Select the sensor that counts for each hour (`aq_science.sensor_choice`).

        Args:
            versions: `VERSION_SCHEMA`, out of one folder of raw pulls or many.

        Returns:
            The rows of one sensor a station, parameter and hour, in the order given.
        """
