"""The fan chart of the newest forecasts: names, units, and intervals behind the readings."""

from aq_assets.forecasts import ForecastTally
from aq_assets.panels import axis_label
from tests.factories import HOUR, MIDNIGHT, forecast_frame, hourly


def test_the_fan_chart_has_names_units_and_the_interval() -> None:
    tally = ForecastTally({"s1": "Cocody"})
    tally.add(forecast_frame(MIDNIGHT, 5.0, "live", stations=("s1",)))
    tally.recent = hourly([3.0, 4.0], MIDNIGHT - 2 * HOUR)
    past, ahead = tally._lines("pm25")
    assert past.label == ahead.label == "Cocody"
    assert (past.y, ahead.y) == ([3.0, 4.0], [5.0, 5.0])
    assert ahead.x == [MIDNIGHT, MIDNIGHT + HOUR]
    assert ahead.band == ([4.0, 4.0], [6.0, 6.0])
    assert [axis_label(name) for name in ("pm25", "co")] == ["PM2.5 [µg/m³]", "CO [mg/m³]"]
    (title,) = (value.md_str.split("]")[0] for value in tally.pictures(tally.newest).values())
    assert title == "![Last two days and forecast with its 80 % interval, UTC"
