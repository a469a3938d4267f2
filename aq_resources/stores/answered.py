"""Which times the stored answers are about, and which station: the evidence for what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

import polars as pl

from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.gaps import ANSWERED_SCHEMA

_OK = 200
_WORDS = re.compile(r"\w[\w-]*")


def answered_windows(answers: Iterable[RawAnswer], stations: Mapping[str, str]) -> pl.DataFrame:
    """The windows of answers of status 200.

    Args:
        answers: Stored answers.
        stations: Station id by every name that may stand for it in a question: its own id, those of
            its sensors.

    Returns:
        `ANSWERED_SCHEMA`, a row an answer and station that its question names; without a station
        where it names none, as those about whole cities do.
    """
    rows: list[tuple[str | None, datetime, datetime, datetime]] = []
    for answer in answers:
        if answer.status != _OK:
            continue
        asked = {
            stations[word]
            for text in (answer.url, *answer.params.values())
            for word in _WORDS.findall(text)
            if word in stations
        }
        times = (answer.window[0], answer.window[1], answer.pulled_at)
        rows += [(station, *times) for station in sorted(asked)] or [(None, *times)]
    return pl.DataFrame(rows, schema=ANSWERED_SCHEMA, orient="row")
