"""The spool: what is acknowledged is found, whoever dies when."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.spool.frames import Readings, decode, encode, fitting
from aq_resources.spool.jetstream import Address
from aq_resources.spool.reader import DONE, READY, STORED, Spool
from aq_resources.spool.writer import SpoolWriter
from tests.factories import utc

DAY = date(2026, 3, 10)


def frame(number: int) -> Readings:
    return Readings("city", number, ["1"], ["pm25"], [number], [number / 7], [0])


class Seconds:
    """A clock that the test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def make(root: Path, seconds: Seconds | None = None) -> SpoolWriter:
    return SpoolWriter(root, 2.0, 500, lambda: utc(2026, 3, 10), seconds or Seconds())


@given(
    numbers=st.lists(st.integers(0, 2**62), max_size=5),
    cut=st.integers(0, 1000),
    rubbish=st.binary(max_size=40),
)
def test_whole_frames_are_read_up_to_the_torn_one(
    numbers: list[int], cut: int, rubbish: bytes
) -> None:
    whole = [encode(frame(number)) for number in numbers]
    torn = encode(frame(1))
    data = b"".join(whole) + torn[: cut % len(torn)]
    assert list(decode(data)) == [frame(number) for number in numbers]
    # What a disk returns of a torn write need not be a beginning.
    assert list(decode(b"".join(whole) + b"\0" * 8 + rubbish)) == list(map(frame, numbers))


@given(rows=st.integers(1, 40), most=st.integers(1, 2000))
def test_parts_of_a_frame_fit_and_are_the_frame(rows: int, most: int) -> None:
    whole = Readings(
        "city", 7, ["1"] * rows, ["pm25"] * rows, list(range(rows)), [0.5] * rows, [0] * rows
    )
    parts = list(fitting(encode(whole), most))
    frames = [part for data in parts for part in decode(data)]
    assert all(isinstance(part, Readings) for part in frames)
    assert [time for part in frames for time in getattr(part, "time", ())] == whole.time
    assert {(part.fleet, part.received) for part in frames} == {("city", 7)}
    one_row = max(len(encode(part)) for part in frames)
    assert all(len(data) <= max(most, one_row) for data in parts)


def test_addresses_of_jetstream() -> None:
    several = Address.of("tls://a:4222,b:4222/CITY", "secret")
    assert several.servers == ("tls://a:4222", "tls://b:4222")
    assert (several.stream, "secret" in repr(several)) == ("CITY", False)
    assert Address.of("nats://a", None).subject(DAY) == "AQ_DEVICES.2026-03-10"
    for wrong in ("http://a", "nats://", "nats://a/b/c", "nats://a/x.y"):
        with pytest.raises(ValueError, match="nats://"):
            Address.of(wrong, None)


def test_a_segment_is_handed_on_by_age_and_by_size(tmp_path: Path) -> None:
    seconds = Seconds()
    writer, spool = make(tmp_path, seconds), Spool(tmp_path)
    writer.append([(DAY, encode(frame(1)))])
    assert spool.segments(DAY, READY) == []
    seconds.now = 2.0
    writer.roll()
    [first] = spool.segments(DAY, READY)
    writer.append([(DAY, encode(frame(n))) for n in range(20)])
    assert len(spool.segments(DAY, READY)) == 2
    assert list(spool.frames(first)) == [frame(1)]


def test_a_dead_writers_segment_is_taken_over_and_a_living_ones_is_not(tmp_path: Path) -> None:
    living, dead, spool = make(tmp_path), make(tmp_path), Spool(tmp_path)
    living.append([(DAY, encode(frame(1)))])
    dead.append([(DAY, encode(frame(2)))])
    [segment] = dead._open.values()
    import os

    # As the kernel does at the end of a process.
    os.close(segment.descriptor)
    with segment.path.open("ab") as torn:
        torn.write(encode(frame(3))[:-1])
    [found] = spool.segments(DAY, READY)
    assert list(spool.frames(found)) == [frame(2)]
    living.close()
    assert len(spool.segments(DAY, READY)) == 2


def test_states_follow_each_other_and_done_ones_go(tmp_path: Path) -> None:
    writer, spool = make(tmp_path), Spool(tmp_path)
    writer.append([(DAY, encode(frame(1)))])
    writer.close()
    assert spool.days(READY) == [DAY]
    assert spool.waiting_bytes() > 0
    for state, following in ((READY, STORED), (STORED, DONE)):
        [segment] = spool.segments(DAY, state)
        spool.move_on([segment], following)
        # Another process may have been first.
        spool.move_on([segment], following)
    assert (spool.days(READY, STORED), spool.waiting_bytes()) == ([], 0)
    [segment] = spool.segments(DAY, DONE)
    written = spool.path(segment).stat().st_mtime
    assert spool.remove_done(written) == 0
    assert spool.remove_done(written + 1) == 1
    assert not list(tmp_path.iterdir())
    writer.append([(DAY, encode(frame(2)))])
    assert len(list(tmp_path.glob("date=*/*"))) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    with pytest.raises(Exception, match="cannot be written"):
        make(tmp_path / "spool").append([(DAY, b"x")])
