"""Windows read one after the other: whether each is outdated, whatever was read since."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from aq_resources.network_client import Parsed, Problems
from aq_resources.stores.object_store import LocalObjectStore
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore
from aq_resources.stores.version_reader import VersionReader
from aq_science.windows import Window
from tests.factories import DAY, HOUR, MIDNIGHT, answer, versions

FIRST, SECOND = (Window(MIDNIGHT + n * DAY, MIDNIGHT + (n + 1) * DAY) for n in range(2))
# As a quality test sees it: with hours of the day before.
SECOND_AND_BEFORE = Window(SECOND.start - 3 * HOUR, SECOND.end)


class Client:
    """A network each of whose answers gives the first hour of its window."""

    def __init__(self) -> None:
        self.parsed = 0

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        self.parsed += 1
        rows = [{"hour": one.covers.start, "pulled_at": one.pulled_at} for one in answers]
        return Parsed(versions(*rows), Problems(), ())


@pytest.fixture
def pulls(tmp_path: Path) -> RawPullStore:
    store = RawPullStore(LocalObjectStore(tmp_path), "airqino")
    store.append(answer(window=window, pulled_at=MIDNIGHT + 9 * DAY) for window in (FIRST, SECOND))
    return store


@pytest.fixture
def reader(pulls: RawPullStore) -> VersionReader:
    client: Any = Client()
    return VersionReader(pulls, client)


def later(window: Window) -> RawAnswer:
    return answer(body='{"later": 1}', window=window, pulled_at=MIDNIGHT + 10 * DAY)


def test_a_window_stays_current_while_others_are_read(reader: VersionReader) -> None:
    for window in (FIRST, SECOND):
        reader.read(window)
    assert not reader.outdated(FIRST)
    assert not reader.outdated(SECOND)


def test_a_window_never_read_is_outdated(reader: VersionReader) -> None:
    assert reader.outdated(FIRST)


def test_an_answer_outdates_every_window_that_was_read_without_it(
    pulls: RawPullStore, reader: VersionReader
) -> None:
    assert len(reader.read(FIRST)) == len(reader.read(SECOND_AND_BEFORE)) == 1
    pulls.append([later(FIRST)])
    assert reader.outdated(FIRST)
    assert len(reader.read(FIRST)) == 2
    assert not reader.outdated(FIRST)
    # It was read before, and the folder was parsed again for another since.
    assert reader.outdated(SECOND_AND_BEFORE)


def test_a_folder_that_two_windows_share_is_parsed_once(reader: VersionReader) -> None:
    client: Any = reader.client
    frames = [reader.read(window) for window in (FIRST, SECOND_AND_BEFORE)]
    assert client.parsed == 2
    assert pl.concat(frames)["hour"].to_list() == [FIRST.start, SECOND.start]
