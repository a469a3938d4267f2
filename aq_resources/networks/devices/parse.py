"""From answers of the spool to versions of hours."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import polars as pl

from aq_resources.network_client import SET_ASIDE, Parsed, Problems
from aq_resources.networks.devices.blocks import MOST_ROWS, Blocks
from aq_resources.networks.devices.bodies import readings_of
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.device_kinds import OF_THE_AIR
from aq_science.devices.hours import hour_versions

_UNREADABLE = (msgspec.DecodeError, pl.exceptions.PolarsError, ValueError)
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def parse_readings(
    answers: Iterable[RawAnswer], interval: float, most_rows: int = MOST_ROWS
) -> Parsed:
    """Read every answer.

    Args:
        answers: Of whole days.
        interval: Seconds from one reading of a device to its next; 0: as its readings show.
        most_rows: Readings held at once.

    Returns:
        Versions of the complete hours. An answer that cannot be read is set aside.
    """
    problems = Problems()
    unreadable: set[str] = set()
    known_until = _FIRST
    of_air = pl.col("sensor").cast(pl.String).is_in(OF_THE_AIR)
    with TemporaryDirectory(prefix="aq-devices-") as folder:
        blocks = Blocks(Path(folder), most_rows)
        for answer in answers:
            try:
                found = readings_of(answer).filter(of_air)
            except _UNREADABLE as error:
                source = answer.params.get("segment", "spool")
                problems.add(source, SET_ASIDE, f"{type(error).__name__}: {error}")
                unreadable.add(source)
                continue
            # The time at which it was said, whatever place in the order it has.
            known_until = max(known_until, answer.received_at or answer.pulled_at)
            if found.height:
                blocks.add(found)
        versions = pl.concat(hour_versions(block, known_until, interval) for block in blocks.read())
    return Parsed(versions, problems, tuple(sorted(unreadable)))
