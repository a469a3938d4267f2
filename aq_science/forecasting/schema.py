"""What fitting and forecasting agree on: horizons, lags, and the layout of models and forecasts."""

import polars as pl

HORIZONS = (1, 2)
"""Hours predicted from issue time H: horizon 1 is the hour that starts at H, 2 the one after it."""

TRAINING_DAYS = 56
"""Eight weeks. Measured on Beijing against four: skill of the corrected curve at two hours rises
from -30 % to -12 % (PM2.5) and -9 % to -4 % (CO) before selection."""

WINDOW_HOURS = TRAINING_DAYS * 24
"""Readings older than this at the issue time do not exist, for every fallback alike."""

LAGS = (1, 2, 3, 4, 6, 8, 12, 24)
"""Lags with candidates of their own; a lag in between uses the next longer one, to err on the wide
side. After a day without readings the last residual says nothing any more."""

ANY_LAG = 0
"""Lag of a candidate that does not use the last reading."""

NO_READINGS = "no_valid_readings"
"""What stands in `model` where the whole network has nothing to forecast from."""

SENSOR_FLAGGED = "sensor_flagged"
"""And where a station reports, and nothing of its last day is valid: the sensor is dead or wrong.
The values are null unless other stations have valid readings of that day."""

SILENT_HOURS = 24
"""So long without a valid reading, while others come, a sensor counts as flagged."""

SCORES = ("n", "mae", "rmse", "mae_persistence", "mae_fallback", "skill")
"""Of the hold-out, in the models' columns of these names with `_h1` and `_h2`."""

FORECAST_SCHEMA = pl.Schema(
    {
        "station_id": pl.String(),
        "parameter": pl.String(),
        "issued_for": pl.Datetime("us", "UTC"),
        "horizon": pl.Int8(),
        "hour": pl.Datetime("us", "UTC"),
        "value": pl.Float64(),
        "lower_80": pl.Float64(),
        "upper_80": pl.Float64(),
        "lower_95": pl.Float64(),
        "upper_95": pl.Float64(),
        "persistence": pl.Float64(),  # last valid reading, null where it is too old
        "model": pl.String(),
        "model_day": pl.Date(),  # null where no fitted model was used
    }
)
