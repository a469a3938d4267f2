"""From stored answers to versions: AirQo's calibrated value, one a device, quantity and hour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import polars as pl

from aq_resources.networks._client import Problems, versions_of
from aq_resources.networks.airqo.bodies import (
    DOWNLOAD,
    as_dict,
    as_number,
    error_kind,
    records_in,
    subject_of,
)
from aq_resources.raw_pulls import RawAnswer
from aq_science.readings import INSTANT, VERSION_SCHEMA

# AirQo's key -> (parameter, unit). The raw channels s1_… and s2_… differ from the calibrated value
# by up to six times, so they are never read into its series: they stay in the stored answers.
FIELDS = {
    "pm2_5": ("pm25", "µg/m³"),
    "pm10": ("pm10", "µg/m³"),
    "no2": ("no2", "µg/m³"),
    "temperature": ("temperature", "°C"),
    "humidity": ("humidity", "%"),
}
# Where exactly 0.0 stands for no reading.
_ZERO_IS_ABSENT = frozenset({"temperature", "humidity"})


@dataclass
class Batch:
    """Records of many answers, column by column."""

    problems: Problems
    unreadable: set[str]
    answers: list[RawAnswer] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)
    named: list[bool] = field(default_factory=list)
    columns: dict[str, list[float | None]] = field(default_factory=lambda: {k: [] for k in FIELDS})

    def add(self, answer: RawAnswer) -> None:
        """Take an answer's records, or note why there are none."""
        subject = subject_of(answer)
        try:
            body = msgspec.json.decode(answer.body)
        except msgspec.DecodeError as error:
            kind = "not_json" if answer.status == httpx.codes.OK else f"status_{answer.status}"
            self.problems.add(subject, kind, f"{error}: {answer.body[:60]}")
            if answer.status == httpx.codes.OK:
                self.unreadable.add(subject)
            return
        refusal = error_kind(as_dict(body))
        if refusal == "no_data" and answer.url.endswith(DOWNLOAD):
            return
        if refusal is not None or answer.status != httpx.codes.OK:
            self.problems.add(subject, f"status_{answer.status}", answer.body)
            return
        records = records_in(as_dict(body))
        if records is None:
            self.problems.add(subject, "no_records_list", answer.body)
            self.unreadable.add(subject)
            return
        place = len(self.answers)
        self.answers.append(answer)
        for record in records:
            self._take(record, subject, place)

    def _take(self, record: object, subject: str, place: int) -> None:
        if not isinstance(record, dict):
            self.problems.add(subject, "no_object", str(record))
            return
        device = record.get("device") or record.get("device_name")
        stamp = record.get("time") or record.get("datetime")
        if not isinstance(device, str):
            self.problems.add(subject, "no_device", str(record))
            return
        if not isinstance(stamp, str):
            self.problems.add(device, "no_timestamp", str(record))
            return
        if record.get("frequency", "hourly") != "hourly":
            # The mean of a day, or a raw reading, stamped at a full hour would pass for an hour.
            self.problems.add(device, "not_hourly", f"{stamp} {record['frequency']!r}")
            return
        self.places.append(place)
        self.devices.append(device)
        self.stamps.append(stamp)
        self.named.append(bool(record.get("site_name") or record.get("site_id")))
        for key, values in self.columns.items():
            given = _value(record, key)
            number = as_number(given)
            if given is not None and number is None:
                self.problems.add(device, "not_a_number", f"{stamp} {key}: {given!r}")
            elif number == 0.0 and key in _ZERO_IS_ABSENT:
                number = None
            values.append(number)

    def versions(self) -> pl.DataFrame:
        """Everything added, in long form; twins that agree are one."""
        if not self.answers:
            return VERSION_SCHEMA.to_frame()
        wide = pl.DataFrame(
            {
                "answer": self.places,
                "station_id": self.devices,
                "stamp": self.stamps,
                "named": self.named,
                **self.columns,
            },
            schema={
                "answer": pl.Int64(),
                "station_id": pl.Categorical(),
                "stamp": pl.String(),
                "named": pl.Boolean(),
                **dict.fromkeys(FIELDS, pl.Float64()),
            },
        ).with_columns(
            hour=pl.col("stamp")
            .str.extract(r"^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)$")
            .str.replace("T", " ")
            .str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC", strict=False)
        )
        hour = pl.col("hour")
        whole = hour == hour.dt.truncate("1h")
        self._note(wide.filter(hour.is_null()), "timestamp_format")
        self._note(wide.filter(~whole), "not_a_whole_hour")
        bad = wide.filter((~whole).fill_null(value=True))
        wide = wide.filter(whole)
        fruitless = set(bad["answer"].unique()) - set(wide["answer"].unique())
        self.unreadable |= {subject_of(self.answers[place]) for place in fruitless}
        asked = pl.DataFrame(
            {
                "answer": range(len(self.answers)),
                "start": [answer.window[0] for answer in self.answers],
                "end": [answer.window[1] for answer in self.answers],
                "pulled_at": [answer.pulled_at for answer in self.answers],
            },
            schema_overrides={"start": INSTANT, "end": INSTANT, "pulled_at": INSTANT},
        )
        long = (
            wide.join(asked, on="answer", maintain_order="left")
            .filter(hour.is_between("start", "end", closed="left"))
            .unpivot(
                list(FIELDS),
                index=["answer", "station_id", "hour", "named", "pulled_at"],
                variable_name="field",
                value_name="value_native",
            )
            .drop_nulls("value_native")
        )
        # A twin without a site repeats the record; only where the two differ is the hour in doubt.
        key = ["answer", "station_id", "field", "hour"]
        twin = pl.struct(key).is_duplicated()
        single, twins = long.filter(~twin), long.filter(twin)
        settled = (
            twins.sort("named", maintain_order=True)
            .group_by(key, maintain_order=True)
            .agg(
                pl.col("named", "pulled_at", "value_native").last(),
                duplicate=pl.col("value_native").n_unique() > 1,
            )
        )
        for device, count in (
            settled.filter("duplicate")
            .group_by("station_id", maintain_order=True)
            .len()
            .iter_rows()
        ):
            self.problems.add(device, "duplicate_hour", "two values for one hour", count)
        columns = [*long.columns, "duplicate"]
        long = pl.concat(
            [single.with_columns(duplicate=False).select(columns), settled.select(columns)]
        )
        return versions_of(long, FIELDS)

    def _note(self, bad: pl.DataFrame, kind: str) -> None:
        counts = bad.group_by("station_id", maintain_order=True).agg(
            pl.len(), pl.col("stamp").first()
        )
        for device, count, stamp in counts.iter_rows():
            self.problems.add(device, kind, str(stamp), count)


def _value(record: dict[str, Any], key: str) -> object:
    """What a record says of one quantity, calibrated: bare, or in an object, or nothing."""
    given = record.get(key)
    if isinstance(given, dict):
        # Older answers carry both; beside a calibrated value that is null, `value` is a raw one.
        return given["calibratedValue"] if "calibratedValue" in given else given.get("value")
    return given
