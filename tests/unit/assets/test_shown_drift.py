"""What the drift alarm says."""

import polars as pl

from aq_assets.forecast_drift import TO_DO, drift_message


def test_an_alarm_says_what_and_what_to_do() -> None:
    found = pl.DataFrame(
        [("pm25", 1, "skill fell"), ("co", 2, None), ("co", 1, "it held 3 %")],
        schema=["parameter", "horizon", "alarm"],
        orient="row",
    )
    expected = f"PM2.5, 1 h ahead: skill fell. CO, 1 h ahead: it held 3 %. {TO_DO}"
    assert drift_message(found) == expected
    assert drift_message(found[1:2]) is None
