"""The methods there are. A new one is a module here and a line below."""

from aq_science.forecasting.methods.gradient_boosting import GradientBoosting
from aq_science.forecasting.methods.hour_mean import HourMean
from aq_science.forecasting.methods.network_median import NetworkMedian
from aq_science.forecasting.methods.persistence import Persistence
from aq_science.forecasting.methods.prophet_curve import ProphetCurve
from aq_science.forecasting.methods.prophet_regression import ProphetRegression
from aq_science.forecasting.methods.prophet_residual import ProphetResidual
from aq_science.forecasting.methods.protocol import (
    LastResort,
    Method,
    NetworkMethod,
    Seasonal,
)

BASELINE: Method = Persistence()
"""What skill is measured against."""

METHODS: tuple[Method, ...] = (
    BASELINE,  # first, so that it wins a tie
    ProphetResidual(),
    ProphetRegression(),
)

NETWORK: tuple[NetworkMethod, ...] = (GradientBoosting(),)

SEASONAL: tuple[Seasonal, ...] = (
    ProphetCurve(),  # in the order of falling back
    HourMean(),
)

LAST_RESORT: LastResort = NetworkMedian()
