"""Statements hold declared names alone, and the rows of a range are read in few steps."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from aq_resources.documents.columns import describe
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.exceedances import EXCEEDANCES
from aq_science.tables.forecasts import FORECASTS
from aq_serving.hours import days_at_once
from aq_serving.ranges import Wanted, order_of, statement
from aq_serving.tables import example_row, row_model
from tests.factories import DAY, utc


def test_pages_are_cut_by_time_first() -> None:
    assert order_of(DAILY_AVERAGES, "date") == ("date", "network", "station_id", "parameter")
    assert order_of(EXCEEDANCES, None) == EXCEEDANCES.key


@given(st.text(), st.text())
def test_what_a_request_says_is_bound_and_never_written(station: str, last: str) -> None:
    order = order_of(FORECASTS, "issued_for")
    start = utc(2024)
    key = (start, "airqino", last, "pm25", 1)
    wanted = Wanted(order, [("station_id", [station])], (start, start + DAY), key, 10)
    sql, values = statement(FORECASTS, wanted)
    plain, _ = statement(FORECASTS, Wanted(order, [("station_id", ["x"])], (start, start), key, 10))
    assert sql == plain
    assert sql.count("?") == len(values)
    assert not re.search(r"['\"]", sql)
    assert values == [[station], start, start + DAY, start, *key, 11]


def test_rows_that_suffice_end_the_reading() -> None:
    for rows_a_day, enough in ((24, 1001), (1, 50_001), (100_000, 1001), (0, 1001)):
        read = steps = 0
        while read < 366 and read * rows_a_day < enough:
            read += days_at_once(read, read * rows_a_day, enough)
            steps += 1
        assert steps <= 4
        assert (read - 1) * rows_a_day < enough + rows_a_day


def test_columns_say_what_is_declared() -> None:
    described = {column.name: column for column in describe(FORECASTS)}
    assert described["value"].unit == "unit"
    assert described["issued_for"].type == "date-time"
    assert [*described] == FORECASTS.schema.names()
    model = row_model(FORECASTS, "Forecast")
    assert model.model_validate(example_row(FORECASTS))
    assert model.model_fields["value"].is_required()


def test_the_example_of_every_table_fits_its_model() -> None:
    for table in (DAILY_AVERAGES, EXCEEDANCES, FORECASTS):
        row_model(table, "Row").model_validate(example_row(table))
