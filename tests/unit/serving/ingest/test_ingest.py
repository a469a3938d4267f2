"""The devices' endpoint: what is taken, what is refused and why, and who may send it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from aq_resources.device_keys import keys_file
from aq_resources.settings import Settings
from aq_serving.limits import shared_rates
from tests.unit.serving.ingest.ingest_bench import (
    JSON,
    MSGPACK,
    NDJSON,
    NOW,
    IngestBench,
    thermostat,
)

Make = Callable[..., IngestBench]
AT = round(datetime(2026, 3, 10, 10, 19, 58, tzinfo=UTC).timestamp() * 1e6)


@pytest.mark.parametrize(
    ("message", "sensors"),
    [
        (thermostat(), {"temperature": 21.5}),
        (thermostat(None, tag="Barometer", pressure=1060.5), {"pressure": 1060.5}),
        (thermostat(None, tag="Hygrometer", humidity=45), {"humidity": 45}),
        (thermostat(None, tag="HeartRateMeter", heart_rate=71), {"heart_rate": 71}),
        (
            thermostat(4.5, tag="AirQuality", pm25=12.5, pm10=20, co=0.4, no2=18, o3=60),
            {"pm25": 12.5, "pm10": 20, "co": 0.4, "no2": 18, "o3": 60, "temperature": 4.5},
        ),
    ],
)
def test_each_kind_of_device_is_taken(
    bench: IngestBench, message: dict[str, Any], sensors: dict[str, float]
) -> None:
    answer = bench.push(message)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    assert bench.stored() == [("school-7", "1", name, AT, value) for name, value in sensors.items()]


@pytest.mark.parametrize("kind", [JSON, NDJSON, MSGPACK])
def test_a_batch_in_each_form(bench: IngestBench, kind: str) -> None:
    messages = [thermostat(20 + n / 10, device_id=str(n)) for n in range(50)]
    body = b"\n".join(map(msgspec.json.encode, messages)) + b"\n" if kind == NDJSON else messages
    assert bench.push(body, kind).json() == {"accepted": 50}
    assert [row[1] for row in bench.stored()] == [str(n) for n in range(50)]


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("2026-03-10T11:19:58.250+01:00", AT + 250_000),
        (AT / 1e6, AT),
        (AT // 10**6, AT),
        ("2026-03-10 10:19:58", AT),
    ],
)
def test_stamps_with_an_offset_naive_ones_and_seconds(
    bench: IngestBench, stamp: object, moment: int
) -> None:
    assert bench.push(thermostat(timestamp=stamp)).status_code == 202
    [(*_, found, _)] = bench.stored()
    assert found == moment
    [frame] = bench.frames()
    assert bool(frame.note[0]) is (stamp == "2026-03-10 10:19:58")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("message", "field", "reason"),
    [
        (thermostat(85.1), "temperature", "85.1 is outside -60 to 85 °C"),
        (thermostat("warm"), "temperature", "Expected `float | null`, got `str`"),
        (thermostat(None), "temperature", "is missing"),
        (thermostat(tag="Toaster"), "tag", "is none of Thermostat"),
        (thermostat(tag="Barometer"), "pressure", "is missing"),
        (thermostat(device_id=1), "device_id", "Expected `str`, got `int`"),
        (thermostat(device_id=""), "device_id", "must be"),
        (thermostat(device_id="a/b"), "device_id", "must be"),
        (thermostat(timestamp="yesterday evening"), "timestamp", "is no time"),
        (thermostat(timestamp="2026-03-10"), "timestamp", "is no time"),
        (thermostat(timestamp=AT / 1e3), "timestamp", "is no number of seconds"),
        (thermostat(timestamp=True), "timestamp", "Expected"),
        (thermostat(timestamp="2026-03-10T10:25:00Z"), "timestamp", "clock_ahead: it lies 300 s"),
        (thermostat(timestamp="2000-01-01T00:00:09Z"), "timestamp", "clock_unset"),
        (thermostat(timestamp="2026-01-10T10:25:00Z"), "timestamp", "too_late"),
        ({"device_id": "1", "tag": "Thermostat"}, "timestamp", "missing required field"),
        (7, "message", "Expected `object`, got `int`"),
    ],
)
def test_a_refused_message_is_answered_with_its_reason_and_kept(
    bench: IngestBench, message: object, field: str, reason: str
) -> None:
    answer = bench.push(message)
    [said] = answer.json()["refused"]
    assert (answer.status_code, said["index"], said["field"]) == (422, 0, field)
    assert reason in said["reason"]
    assert bench.stored() == []
    [(index, *why, raw)] = bench.dead()
    assert (index, why) == (0, [field, said["reason"]])
    assert msgspec.json.decode(raw) == message


@pytest.mark.parametrize("kind", [JSON, NDJSON, MSGPACK])
def test_the_rest_of_a_batch_is_taken(bench: IngestBench, kind: str) -> None:
    messages = [thermostat(), thermostat(500), {"tag": []}, thermostat(device_id="2")]
    body = b"\n".join(map(msgspec.json.encode, messages)) if kind == NDJSON else messages
    answer = bench.push(body, kind)
    assert answer.status_code == 207
    assert answer.json()["accepted"] == 2
    assert [one["index"] for one in answer.json()["refused"]] == [1, 2]
    assert [row[1] for row in bench.stored()] == ["1", "2"]
    assert [row[0] for row in bench.dead()] == [1, 2]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", JSON),
        (b"{", JSON),
        (b"[{}", JSON),
        (b"[]", JSON),
        (b"\n \n", NDJSON),
        (b"[" * 100_000, JSON),
        (b'[{"a":' * 50_000, JSON),
        (b'{"device_id":"\xff"}', JSON),
        (b"\xdd\xff\xff\xff\xff", MSGPACK),
        (b"\xc1", MSGPACK),
        (b"\x90", MSGPACK),
    ],
)
def test_a_body_that_is_none_is_refused_and_kept(
    bench: IngestBench, body: bytes, kind: str
) -> None:
    answer = bench.push(body, kind)
    assert answer.status_code == 422
    assert answer.json()["accepted"] == 0
    assert [row[1] for row in bench.dead()] == ["body"]


def test_numbers_that_are_none_are_refused(bench: IngestBench) -> None:
    messages = [thermostat(value) for value in (float("nan"), float("inf"))]
    messages += [thermostat(timestamp=float("nan"))]
    assert bench.push(messages, MSGPACK).status_code == 422
    assert [row[1] for row in bench.dead()] == ["temperature", "temperature", "timestamp"]


def test_a_clock_that_is_wrong_by_its_own_word_is_no_late_reading(bench: IngestBench) -> None:
    late = thermostat(timestamp="2026-03-10T08:20:00Z")
    right = {"date": "Tue, 10 Mar 2026 10:20:05 GMT"}
    wrong = {"date": "Tue, 10 Mar 2026 08:20:00 GMT"}
    assert bench.push(late, **right).status_code == 202
    assert [frame.note for frame in bench.frames()] == [[2]]  # type: ignore[union-attr]
    answer = bench.push(late, **wrong)
    assert answer.status_code == 422
    assert "clock_behind: Date is 7200 s off" in answer.json()["refused"][0]["reason"]
    assert bench.push(late, date="once upon a time").status_code == 202


def test_readings_go_to_their_own_day(bench: IngestBench) -> None:
    stamps = ["2026-03-10T00:00:00Z", "2026-03-09T23:59:59.999999Z", "2026-03-01T12:00:00Z"]
    assert bench.push([thermostat(timestamp=stamp) for stamp in stamps]).status_code == 202
    days = sorted(path.parent.name for path in bench.root.glob("date=*/*"))
    assert days == ["date=2026-03-01", "date=2026-03-09", "date=2026-03-10"]


# Who may send


@pytest.mark.parametrize("key", ["", "x", "aqd_00000000_" + 64 * "0", "aqd_é_ü"])
def test_without_a_known_key_nothing_is_taken(bench: IngestBench, key: str) -> None:
    answer = bench.push(thermostat(), authorization=f"Bearer {key}".encode())  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert not list(bench.frames())


def test_a_key_is_for_its_fleet_devices_and_rights(bench: IngestBench) -> None:
    own = bench.add_key("city", devices=("1", "2"))
    assert bench.push(thermostat(), key=own).status_code == 202
    assert bench.push([thermostat(), thermostat(device_id="3")], key=own).status_code == 403
    path = "/v1/fleets/school-7/readings"
    assert bench.push(thermostat(), key=own, path=path).status_code == 403
    assert bench.push(thermostat(), path=path).status_code == 202
    reader = bench.add_key("city", write=False)
    assert bench.push(thermostat(), key=reader).status_code == 403
    assert [row[:2] for row in bench.stored()] == [("city", "1"), ("school-7", "1")]


def test_keys_are_kept_as_hashes_and_can_be_revoked(bench: IngestBench) -> None:
    secret = bench.key.rpartition("_")[2]
    assert secret not in bench.file.path.read_text()
    with keys_file(Settings()).updated() as keys:
        [name] = keys
        keys[name] = msgspec.structs.replace(keys[name], revoked_at=NOW)
    bench.ring.refresh()
    assert bench.push(thermostat()).status_code == 401


# How much


def test_what_is_too_large_is_refused(make: Make) -> None:
    bench = make(body_bytes=4096, batch_readings=10)
    assert bench.push([thermostat()] * 11).status_code == 413
    assert bench.push(b" " * 4097).status_code == 413
    assert bench.push(b" " * 4097, **{"content-length": "9"}).status_code == 413
    assert bench.push([thermostat()] * 10).status_code == 202
    assert bench.push(thermostat(), "text/html").status_code == 415
    assert bench.push(thermostat(), **{"content-encoding": "gzip"}).status_code == 415
    assert len(bench.stored()) == 10
    assert bench.room.under_way == 0


def test_who_sends_too_fast_waits(bench: IngestBench) -> None:
    slow = bench.add_key("slow", rate=0.1)
    assert bench.push([thermostat()] * 5, key=slow).status_code == 202
    answer = bench.push(thermostat(), key=slow)
    assert answer.status_code == 429
    assert 35 <= int(answer.headers["retry-after"]) <= 40
    assert bench.push(thermostat()).status_code == 202


def test_processes_count_a_key_together(make: Make) -> None:
    with shared_rates():
        first, second = make(), make()
    slow = first.add_key("slow", rate=0.1)
    second.ring.refresh()
    assert first.push([thermostat()] * 5, key=slow).status_code == 202
    assert second.push(thermostat(), key=slow).status_code == 429
    assert second.push(thermostat(), key=first.key).status_code == 202


def test_an_address_that_guesses_keys_is_slowed_down(make: Make) -> None:
    bench = make(address_rate=0.2)
    answers = [bench.push(thermostat(), key="aqd_guessed") for _ in range(4)]
    assert [one.status_code for one in answers] == [401, 401, 401, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 5


def test_before_the_disk_or_the_spool_is_full_all_wait(make: Make) -> None:
    assert make(free_bytes=1 << 60).push(thermostat()).headers["retry-after"] == "5"
    bench = make(free_bytes=0, spool_bytes=1 << 20)
    big = [thermostat(device_id="d" * 64)] * 10_000
    assert [bench.push(big).status_code for _ in range(2)] == [202, 202]
    bench.room._looked_at = float("-inf")
    answer = bench.push(thermostat())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")


@pytest.mark.parametrize(("error", "status"), [(errno.ENOSPC, 507), (errno.EIO, 503)])
@pytest.mark.parametrize("step", ["write", "fdatasync"])
def test_a_disk_that_fails_loses_nothing_acknowledged_and_recovers(
    bench: IngestBench, monkeypatch: pytest.MonkeyPatch, error: int, status: int, step: str
) -> None:
    assert bench.push(thermostat(1)).status_code == 202
    real = getattr(os, step)

    def fail(descriptor: int, *data: bytes) -> int:
        if data:
            # A part of it arrives: the torn frame must hide none of the later ones.
            real(descriptor, data[0][: len(data[0]) // 2])
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        answer = bench.push(thermostat(2))
        assert (answer.status_code, answer.headers["retry-after"]) == (status, "30")
    assert bench.push(thermostat(3)).status_code == 202
    assert [row[-1] for row in bench.stored()] == [1, 3]


def test_processes_share_the_spool(make: Make) -> None:
    first, second = make(), make()
    for n in range(5):
        first.push(thermostat(n))
        second.push(thermostat(10 + n), key=first.key)
    assert sorted(row[-1] for row in first.stored()) == [*range(5), *range(10, 15)]


def test_old_readings_of_a_stopped_clock_are_not_taken_for_late_ones(bench: IngestBench) -> None:
    moment = NOW - timedelta(days=29)
    assert bench.push(thermostat(timestamp=moment.timestamp())).status_code == 202
    assert bench.push(thermostat(timestamp=0)).json()["refused"][0]["reason"].startswith("clock_un")
