"""From stored answers to versions: AirQo's calibrated value, one a device, quantity and hour."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from aq_resources.network_client import Problems
from aq_resources.network_toolkit.bodies import as_number
from aq_resources.network_toolkit.rows import (
    beside,
    counted,
    in_long_form,
    instant,
    requests_of,
    versions_of,
    whole_hours,
    within_window,
)
from aq_resources.networks.airqo.bodies import (
    FIELDS,
    TWO_CHANNELS,
    apart,
    calibrated,
    device_of,
    records_of,
    source_of,
    stamp_of,
)
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.versions import VERSION_SCHEMA

# A whole second in UTC.
STAMP = r"^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)$"
# As it is read, without its T and zone.
SECONDS = "%Y-%m-%d %H:%M:%S"
# Where exactly 0.0 stands for no reading.
_ZERO_IS_ABSENT = frozenset({"temperature", "humidity"})
# Column with how far a record's two channels are apart, and AirQo's key of the quantity.
_APART = {f"{key}_apart": key for key in TWO_CHANNELS}


@dataclass
class AirQoRows:
    """Records of many answers (see `ParsedRows`)."""

    problems: Problems
    unreadable: set[str]
    answers: list[RawAnswer] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)
    named: list[bool] = field(default_factory=list)
    columns: dict[str, list[float | None]] = field(default_factory=lambda: {k: [] for k in FIELDS})
    apart: dict[str, list[float | None]] = field(default_factory=lambda: {k: [] for k in _APART})

    def add(self, answer: RawAnswer) -> None:
        """Take an answer's records, or note why there are none."""
        records = records_of(answer, self.problems, self.unreadable)
        if records is None:
            return
        source = source_of(answer)
        place = len(self.answers)
        self.answers.append(answer)
        for record in records:
            self._take(record, source, place)

    def _take(self, record: object, source: str, place: int) -> None:
        if not isinstance(record, dict):
            self.problems.add(source, "no_object", str(record))
            return
        device, stamp = device_of(record), stamp_of(record)
        if not isinstance(device, str):
            self.problems.add(source, "no_device", str(record))
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
        for name, key in _APART.items():
            self.apart[name].append(apart(record, key))
        for key, values in self.columns.items():
            given = calibrated(record, key)
            number = as_number(given)
            if given is not None and number is None:
                self.problems.add(device, "not_a_number", f"{stamp} {key}: {given!r}")
            elif number == 0.0 and key in _ZERO_IS_ABSENT:
                number = None
            values.append(number)

    def versions(self) -> pl.DataFrame:
        """Everything added; twins that agree are one."""
        if not self.answers:
            return VERSION_SCHEMA.to_frame()
        asked = beside(self._frame(), "answer", requests_of(self.answers))
        read = within_window(asked, "answer", self._note)
        rows = whole_hours(read, self._note, "station_id")
        # An answer none of whose stamps could be read no longer has the known form.
        without_rows = set(read["answer"].unique()) - set(rows["answer"].unique())
        self.unreadable |= {source_of(self.answers[place]) for place in without_rows}
        others = ["answer", "station_id", "hour", "named", "pulled_at", *_APART]
        long = in_long_form(rows, FIELDS, others)
        return versions_of(self._settle_twins(long.with_columns(_own_apart()).drop(_APART)))

    def _frame(self) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "answer": self.places,
                "station_id": self.devices,
                "stamp": self.stamps,
                "named": self.named,
                **self.columns,
                **self.apart,
            },
            schema={
                "answer": pl.Int64(),
                "station_id": pl.Categorical(),
                "stamp": pl.String(),
                "named": pl.Boolean(),
                **dict.fromkeys([*FIELDS, *_APART], pl.Float64()),
            },
        ).with_columns(
            hour=instant(pl.col("stamp").str.extract(STAMP).str.replace("T", " "), SECONDS)
        )

    def _settle_twins(self, long: pl.DataFrame) -> pl.DataFrame:
        """One row of those that one answer gives for an hour, the named one's.

        A twin without a site repeats the record; only where the two differ is the hour in doubt.
        """
        key = ["answer", "station_id", "parameter", "hour"]
        absent = long.filter(pl.col("value_native").is_null())
        long = long.drop_nulls("value_native")
        # Where one twin has the value, that the other lacks it says nothing.
        absent = absent.unique(key, maintain_order=True).join(long, on=key, how="anti")
        twin = pl.struct(key).is_duplicated()
        single, twins = long.filter(~twin), long.filter(twin)
        settled = (
            twins.sort("named", maintain_order=True)
            .group_by(key, maintain_order=True)
            .agg(
                pl.col(
                    "named", "pulled_at", "channels_apart", "unit_native", "value_native"
                ).last(),
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
        return pl.concat(
            [
                single.with_columns(duplicate=False).select(columns),
                settled.select(columns),
                absent.with_columns(duplicate=False).select(columns),
            ]
        )

    def _note(self, bad: pl.DataFrame, kind: str) -> None:
        for device, count, stamp in counted(bad, "station_id"):
            self.problems.add(device, kind, stamp, count)


def _own_apart() -> pl.Expr:
    """Each row's own of the columns `_APART`."""
    parameter = pl.col("parameter")
    return pl.coalesce(
        pl.when(parameter == FIELDS[key][0]).then(name) for name, key in _APART.items()
    ).alias("channels_apart")
