"""The fold of pulls into readings, by its laws, and the table it becomes."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_science.parameters import PARAMETERS
from aq_science.readings import hourly_readings
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.versions import KEY, VERSION_SCHEMA, complete_hours, fold_versions
from tests.factories import DAY, HOUR, MIDNIGHT, versions
from tests.laws import examples

PULLS = [MIDNIGHT + DAY + n * HOUR for n in range(5)]
CONTENT = ["value_native", "unit_native", "coverage", "sensor_id", "duplicate"]

rows = st.fixed_dictionaries(
    {
        "station_id": st.sampled_from(["s1", "s2"]),
        "parameter": st.sampled_from(["pm25", "co"]),
        "hour": st.sampled_from([MIDNIGHT, MIDNIGHT + HOUR]),
        "value_native": st.sampled_from([None, 1.0, 2.0, float("nan")]),
        "unit_native": st.sampled_from(["µg/m³", "mg/m³"]),
        "coverage": st.sampled_from([None, 0.5]),
        "sensor_id": st.sampled_from([None, "a", "b"]),
        "pulled_at": st.sampled_from(PULLS),
    }
)
histories = st.lists(rows, max_size=25)


def fold(*given_rows: dict[str, Any], as_known_at: datetime | None = None) -> pl.DataFrame:
    return fold_versions(versions(*given_rows), as_known_at)


def told(folded: pl.DataFrame) -> tuple[Any, ...]:
    """Value, revision and the number of the pull, of the only row."""
    ((value, revision, pulled_at),) = folded.select("value_native", "revision", "pulled_at").rows()
    return value, revision, PULLS.index(pulled_at)


def history(*values: float | None) -> list[dict[str, Any]]:
    """One hour, as pull after pull gave it."""
    return [
        {"value_native": value, "pulled_at": pulled_at}
        for value, pulled_at in zip(values, PULLS, strict=False)
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([1.0], (1.0, 0, 0), id="first-value"),
        pytest.param([1.0, 2.0], (2.0, 1, 1), id="newest-wins"),
        pytest.param([1.0, 1.0], (1.0, 0, 0), id="identical-keeps-first-pull"),
        pytest.param([1.0, 2.0, 2.0], (2.0, 1, 1), id="identical-after-change"),
        pytest.param([1.0, 2.0, 1.0], (1.0, 2, 2), id="there-and-back"),
        pytest.param([1.0, None], (1.0, 0, 0), id="null-never-replaces"),
        pytest.param([1.0, None, 1.0], (1.0, 0, 0), id="null-between-is-no-change"),
        pytest.param([None, 1.0], (1.0, 0, 1), id="value-after-null-is-the-first"),
        pytest.param([None, None], (None, 0, 0), id="only-nulls"),
        pytest.param([float("nan"), 2.0], (2.0, 1, 1), id="nan-is-a-value"),
        pytest.param([0.0, -0.5, 0.0, 3.0, 4.0], (4.0, 4, 4), id="counts-every-change"),
    ],
)
def test_newest_value_and_number_of_changes(
    values: list[float | None], expected: tuple[Any, ...]
) -> None:
    assert told(fold(*history(*values))) == expected


def test_hour_absent_from_a_newer_pull_keeps_its_value() -> None:
    folded = fold(
        {"hour": MIDNIGHT, "value_native": 1.0, "pulled_at": PULLS[0]},
        {"hour": MIDNIGHT + HOUR, "value_native": 5.0, "pulled_at": PULLS[0]},
        {"hour": MIDNIGHT + HOUR, "value_native": 6.0, "pulled_at": PULLS[1]},
    )
    assert folded["value_native"].to_list() == [1.0, 6.0]
    assert folded["revision"].to_list() == [0, 1]


@pytest.mark.parametrize(
    "change",
    [{"unit_native": "mg/m³"}, {"coverage": 0.5}, {"sensor_id": "b"}, {"duplicate": True}],
    ids=lambda change: next(iter(change)),
)
def test_change_of_anything_told_is_a_revision(change: dict[str, Any]) -> None:
    folded = fold({"pulled_at": PULLS[0]}, {"pulled_at": PULLS[1], **change})
    assert told(folded) == (10.0, 1, 1)


@given(histories, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(given_rows: list[dict], random) -> None:
    shuffled = list(given_rows)
    random.shuffle(shuffled)
    assert_frame_equal(fold(*given_rows), fold(*shuffled))


@given(histories, histories, st.sampled_from(PULLS))
def test_same_pull_again_changes_nothing(
    before: list[dict], pull: list[dict], last: datetime
) -> None:
    """Neither a copy of its rows nor the same answer received later."""
    pull = [{**row, "pulled_at": PULLS[-1]} for row in pull]
    pull = list({tuple(row[k] for k in KEY): row for row in pull}.values())
    before = [row for row in before if row["pulled_at"] < PULLS[-1]]
    once = fold(*before, *pull)
    assert_frame_equal(fold(*before, *pull, *pull), once)
    later = [{**row, "pulled_at": PULLS[-1] + DAY} for row in pull]
    assert_frame_equal(fold(*before, *pull, *later), once)


@given(histories)
def test_one_sorted_row_for_each_hour_that_was_ever_told(given_rows: list[dict]) -> None:
    folded = fold(*given_rows)
    keys = folded.select(pl.col(KEY).cast(pl.String)).rows()
    assert len(set(keys)) == len(keys)
    assert set(keys) == set(versions(*given_rows).select(pl.col(KEY).cast(pl.String)).rows())
    assert folded["station_id"].cast(pl.String).is_sorted()
    assert_frame_equal(folded, folded.sort(*KEY))


@given(histories)
def test_revision_is_the_number_of_changes_along_the_pulls(given_rows: list[dict]) -> None:
    """Against a plain loop; one answer holds an hour once, so ties in time are left out."""
    distinct = {(*(row[k] for k in KEY), row["pulled_at"]): row for row in given_rows}
    folded = fold(*distinct.values())
    expected: dict[tuple, tuple] = {}
    for key in {name[:-1] for name in distinct}:
        told_so = [distinct[name] for name in sorted(distinct) if name[:-1] == key]
        with_value = [row for row in told_so if row["value_native"] is not None] or told_so
        contents = [repr([row.get(column) for column in CONTENT]) for row in with_value]
        changes = [n for n, c in enumerate(contents) if n == 0 or c != contents[n - 1]]
        newest = with_value[changes[-1]]
        expected[key] = (repr(newest["value_native"]), newest["pulled_at"], len(changes) - 1)
    got = {
        row[:3]: (repr(row[3]), row[4], row[5])
        for row in folded.select(*KEY, "value_native", "pulled_at", "revision").iter_rows()
    }
    assert got == expected


@given(histories, st.sampled_from(PULLS))
def test_as_known_at_is_the_fold_of_what_had_been_received(
    given_rows: list[dict], moment: datetime
) -> None:
    received = [row for row in given_rows if row["pulled_at"] <= moment]
    assert_frame_equal(fold(*given_rows, as_known_at=moment), fold(*received))


@given(histories)
def test_a_value_is_never_lost(given_rows: list[dict]) -> None:
    had_value = {
        tuple(row[k] for k in KEY) for row in given_rows if row["value_native"] is not None
    }
    folded = fold(*given_rows)
    kept = {tuple(r) for r in folded.drop_nulls("value_native").select(KEY).iter_rows()}
    assert kept == had_value


@pytest.mark.parametrize("rows", [[], history(1.0), history(1.0, 2.0)], ids=["none", "one", "two"])
def test_fold_has_the_versions_columns_and_the_revision(rows: list[dict]) -> None:
    assert fold(*rows).schema == {**VERSION_SCHEMA, "revision": pl.Int32()}


@pytest.mark.parametrize(
    ("pulled_after", "complete"),
    [(timedelta(minutes=59), False), (HOUR, True), (2 * HOUR, True), (timedelta(), False)],
    ids=["59min", "60min", "2h", "at-once"],
)
def test_only_hours_that_had_ended_when_pulled_are_complete(
    pulled_after: timedelta, complete: bool
) -> None:
    found = complete_hours(versions({"hour": MIDNIGHT, "pulled_at": MIDNIGHT + pulled_after}))
    assert len(found) == complete


def one_reading(**row: Any) -> dict[str, Any]:
    return hourly_readings(fold(row), "airqino").row(0, named=True)


def test_hourly_readings_have_the_declared_schema() -> None:
    for given_rows in ([], history(1.0), [{"unit_native": "parsec"}, {"parameter": "co"}]):
        assert hourly_readings(fold(*given_rows), "airqino").schema == HOURLY_READINGS.schema


def test_reading_keeps_what_was_reported_beside_the_canonical_value() -> None:
    row = one_reading(
        parameter="co", value_native=2.0, unit_native="ppm", sensor_id="x", coverage=0.9
    )
    assert row["value"] == pytest.approx(2.3288, abs=1e-4)
    assert (row["unit"], row["value_native"], row["unit_native"]) == ("mg/m³", 2.0, "ppm")
    assert (row["network"], row["sensor_id"], row["coverage"]) == ("airqino", "x", 0.9)
    assert (row["flag"], row["reasons"], row["revision"]) == ("valid", [], 0)


def test_reference_temperature_is_the_callers() -> None:
    frame = fold({"parameter": "co", "value_native": 1.0, "unit_native": "ppm"})
    assert hourly_readings(frame, "n", 25.0)["value"].item() == pytest.approx(1.1449, abs=1e-4)


@pytest.mark.parametrize("unit", ["parsec", None, ""], ids=["unknown", "none", "blank"])
def test_unit_that_cannot_be_converted_flags_the_row_and_spares_the_others(
    unit: str | None,
) -> None:
    frame = fold({"unit_native": unit}, {"station_id": "s2"})
    bad, good = hourly_readings(frame, "airqino").iter_rows(named=True)
    assert (bad["value"], bad["value_native"], bad["unit"]) == (None, 10.0, "µg/m³")
    assert (bad["flag"], bad["reasons"]) == ("invalid", ["unknown_unit"])
    assert (good["value"], good["flag"]) == (10.0, "valid")


def test_units_are_converted_row_by_row() -> None:
    frame = fold(
        {"station_id": "a", "parameter": "co", "value_native": 1.0, "unit_native": "mg/m³"},
        {"station_id": "b", "parameter": "co", "value_native": 1000.0, "unit_native": "µg/m³"},
        {"station_id": "c", "parameter": "temperature", "value_native": 50.0, "unit_native": "f"},
        {"station_id": "d", "parameter": "pm25", "value_native": 1.0, "unit_native": "mg/m³"},
    )
    converted = hourly_readings(frame, "n")
    assert converted["value"].to_list() == pytest.approx([1.0, 1.0, 10.0, 1000.0])


@settings(max_examples=examples(40))
@given(histories)
def test_every_folded_row_becomes_one_reading_in_the_same_order(given_rows: list[dict]) -> None:
    folded = fold(*given_rows)
    table = hourly_readings(folded, "airqino")
    same = [*KEY, "value_native", "pulled_at", "revision"]
    assert_frame_equal(table.select(same), folded.select(same))
    units = {p.unit for p in PARAMETERS.values()}
    assert set(table["unit"].to_list()) <= units
