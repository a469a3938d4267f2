"""Checks find the rows that break a rule, and only those."""

import polars as pl
import pytest

from aq_assets.checks import bad_readings
from aq_science.parameters import PARAMETERS
from tests.factories import hourly

READ = ["network", "station_id", "parameter", "hour", "value", "unit", "flag"]


def good() -> pl.DataFrame:
    """Every parameter at both ends of its range."""
    return pl.concat(
        [
            hourly([float(p.fail[0]), float(p.fail[1])], parameter=p.name)
            for p in PARAMETERS.values()
        ]
    ).select(READ)


def broken(frame: pl.DataFrame) -> dict[str, int]:
    return {name: len(bad) for name, bad in bad_readings(frame).items() if len(bad)}


def test_good_rows_pass() -> None:
    assert broken(good()) == {}
    assert broken(good().clear()) == {}


@pytest.mark.parametrize("parameter", PARAMETERS)
@pytest.mark.parametrize("side", [0, 1], ids=["below", "above"])
def test_valid_value_out_of_range_is_found(parameter: str, side: int) -> None:
    beyond = PARAMETERS[parameter].fail[side] + (1 if side else -1)
    bad = hourly([beyond], parameter=parameter, station="s2").select(READ)
    assert broken(pl.concat([good(), bad])) == {"plausible_ranges": 1}


@pytest.mark.parametrize("flag", ["suspect", "invalid"])
def test_flagged_value_may_be_anything(flag: str) -> None:
    assert broken(hourly([99_999.0], flag=flag).select(READ)) == {}


def test_valid_row_without_a_value_is_found() -> None:
    frame = hourly([1.0]).with_columns(value=pl.lit(None, pl.Float64)).select(READ)
    assert broken(frame) == {"plausible_ranges": 1}


def test_hour_given_twice_is_found() -> None:
    assert broken(pl.concat([good(), good()[:1]])) == {"unique_hours": 2}


def test_stamp_off_the_hour_is_found() -> None:
    frame = good().with_columns(pl.col("hour") + pl.duration(minutes=30))
    assert broken(frame) == {"unique_hours": len(frame)}


def test_unit_that_is_not_canonical_is_found() -> None:
    frame = hourly([1.0], parameter="co").select(READ)
    other = frame.with_columns(unit=pl.lit("µg/m³").cast(frame.schema["unit"]))
    assert broken(other) == {"canonical_unit": 1}
