"""Raw pulls that are no longer what was written: never read as fewer answers, never deleted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import zstandard

from aq_resources.stores.object_store import LocalObjectStore
from aq_resources.stores.raw_pulls import DamagedPull, RawAnswer, RawPullStore
from tests.factories import DAY, HOUR, MIDNIGHT, answer
from tests.unit.resources.test_raw_pulls import LATER, everything

pytestmark = pytest.mark.server

FOLDER = "date=2024-03-01"
AFTERWARDS = MIDNIGHT + 10 * DAY
FLIPS = 400


@pytest.fixture
def pulls(local: LocalObjectStore) -> RawPullStore:
    return RawPullStore(local, "airqino")


def stored(pulls: RawPullStore, *bodies: str) -> list[Path]:
    """The files of pulls an hour apart."""
    for body, when in zip(bodies, LATER, strict=False):
        pulls.append([answer(body, pulled_at=when)])
    return [Path(pulls.store.uri(key)) for key in pulls.keys(FOLDER)]


def test_a_file_that_was_cut_is_named_and_not_read(pulls: RawPullStore) -> None:
    (path,) = stored(pulls, "a")
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedPull, match="backfill NETWORK --start 2024-03-01") as raised:
            list(pulls.read(FOLDER))
        assert str(path) in raised.value.message


def test_a_file_that_grew_is_no_file_of_ours(pulls: RawPullStore) -> None:
    (path,) = stored(pulls, "a")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DamagedPull):
        list(pulls.read(FOLDER))


def test_no_flipped_bit_changes_an_answer(pulls: RawPullStore) -> None:
    (path,) = stored(pulls, "a reading of 12.75 at a station " * 20)
    whole = path.read_bytes()
    before = everything(pulls)
    dice = random.Random(7)
    seen = 0
    for _ in range(FLIPS):
        bit = dice.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            # A bit of the header that says nothing of the content may well be another.
            assert everything(pulls) == before
        except DamagedPull:
            seen += 1
    assert seen > FLIPS * 0.9


def test_a_damaged_file_of_an_earlier_version_is_named_too(pulls: RawPullStore) -> None:
    (path,) = stored(pulls, "a")
    line = zstandard.ZstdDecompressor().decompress(path.read_bytes())
    path.write_bytes(zstandard.ZstdCompressor().compress(line.replace(b'"status":', b'"status";')))
    with pytest.raises(DamagedPull):
        list(pulls.read(FOLDER))


def test_tidying_leaves_what_it_cannot_read_whole(pulls: RawPullStore) -> None:
    paths = stored(pulls, *"abcd")
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    left = {path: path.read_bytes() for path in paths}
    done = pulls.tidy(AFTERWARDS)
    assert len(done.damaged) == 1
    assert str(paths[1]) in done.damaged[0]
    assert {path: path.read_bytes() for path in paths} == left


def test_a_damaged_file_stops_no_further_pull(pulls: RawPullStore) -> None:
    paths = stored(pulls, "a", "b")
    paths[1].write_bytes(b"")
    again = pulls.append([answer("b", pulled_at=LATER[2])])
    assert (again.answers, again.repeated) == (1, 0)
    damaged: list[str] = []
    assert [one.body for one in pulls.read(FOLDER, damaged)] == ["a", "b"]
    assert len(damaged) == 1


def test_files_of_others_are_left_alone_and_named_once(
    pulls: RawPullStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Once a process: another test may have had files of the same names.
    monkeypatch.setattr("aq_resources.stores.foreign._NAMED", set())
    (path,) = stored(pulls, "a")
    foreign = path.parent / ".DS_Store", path.parent.parent / f"{FOLDER} (copy)" / path.name
    foreign[1].parent.mkdir()
    for other in foreign:
        other.write_bytes(path.read_bytes())
    for _ in range(2):
        assert [one.body for one in everything(pulls)] == ["a"]
        assert len(pulls.sizes()) == 1
        pulls.tidy(AFTERWARDS)
    assert all(other.exists() for other in foreign)
    said = [record.message for record in caplog.records]
    assert len([one for one in said if "left alone" in one and "(copy)" in one]) == 1


def test_answers_are_written_while_others_are_awaited(local: LocalObjectStore) -> None:
    seconds = count(step=1.0)
    pulls = RawPullStore(local, "airqino", hold_seconds=2.5, clock=lambda: next(seconds))
    seen: list[int] = []

    def arriving() -> Iterator[RawAnswer]:
        for n in range(9):
            seen.append(len(everything(pulls)))
            yield answer(str(n), pulled_at=MIDNIGHT + DAY + n * HOUR)

    pulls.append(arriving())
    assert seen[-1] >= 6
    assert max(n - kept for n, kept in enumerate(seen)) <= 3
    assert len(everything(pulls)) == 9
