"""Which quality tests run, with which thresholds for which parameter, and in which order."""

from __future__ import annotations

import math
from functools import partial

import polars as pl

from aq_science.parameters import PARAMETERS, SENTINELS
from aq_science.quality.attenuated_signal import attenuated_signal
from aq_science.quality.channels import two_channels
from aq_science.quality.conflicts import duplicate_hour
from aq_science.quality.core import QualityTest, Suite, by_parameter, either
from aq_science.quality.coverage import coverage
from aq_science.quality.flat_line import flat_line, flat_line_of_zeros
from aq_science.quality.gross_range import gross_range
from aq_science.quality.negative import negative, negative_code
from aq_science.quality.neighbours import neighbours_within, out_of_step, unless_shared
from aq_science.quality.provider import provider_flag, withdrawn
from aq_science.quality.rate_of_change import rate_of_change
from aq_science.quality.runs import REACH
from aq_science.quality.size_classes import pm25_above_pm10
from aq_science.quality.spike import alone_above, spike
from aq_science.quality.unit_scale import implausibly_small
from aq_science.quality.validity import no_value, not_finite, sentinel, unknown_unit
from aq_science.windows import HOUR

# Share of a day's present hours that must be exactly zero for the sensor to count as stuck.
STUCK_SHARE = 0.75

# Of an hour, for its mean to count (2008/50/EC, Annexes VII and XI: 45 minutes).
LEAST_COVERAGE = 0.75

# So much of a very high value must be reached beside it for it to be an episode.
EPISODE_SHARE = 0.5

# How often above the higher of its neighbours a value stands out.
SPIKE_TIMES = 5.0

# A run of one value is no chance below this probability, where values change by so large a share of
# themselves from an hour to the next. So little, since a network has a thousand million hours in a
# decade, and calm nights make neighbours more alike than that.
FLAT_LINE_CHANCE = 1e-12
HOURLY_CHANGE = 0.1

# How often a whole negative number is exceeded on both sides where it is a code.
CODE_TIMES = 10.0

# PM2.5 may be so much above PM10 (µg/m³) before the two contradict each other.
PM25_TIMES, PM25_BEYOND = 1.2, 10.0

# From so many hours on a day shows its size.
SIZE_HOURS = 6

# A day's values lie so close to each other nowhere in the air: at three stations of Beijing no day
# of any pollutant stays within 14 % (UCI PRSA, 2013 to 2015). That is a sensor's last digit.
STILL_SHARE, STILL_HOURS, STILL_VALUES = 0.005, 18, 4

# Stations so close to each other breathe the same air, give or take a street.
NEIGHBOURHOOD_KM = 15.0
# All neighbours, of whom there are so many, contradict a day that is so often as high as theirs or
# as low, and a share of a spike apart.
STEP_TIMES, STEP_SPIKES, STEP_STATIONS, STEP_HOURS = 5.0, 0.2, 3, 12

_POLLUTANTS = [p.name for p in PARAMETERS.values() if p.pollutant]
_SIGNED = [p.name for p in PARAMETERS.values() if p.signed]


STANDARD = Suite(
    (
        QualityTest("withdrawn", {"missing": withdrawn()}),
        QualityTest("no_value", {"missing": no_value()}),
        QualityTest("not_finite", {"invalid": not_finite()}),
        QualityTest("unknown_unit", {"invalid": unknown_unit()}),
        QualityTest("sentinel", {"invalid": sentinel(SENTINELS)}),
        QualityTest("provider_flag", {"invalid": provider_flag()}),
        QualityTest(
            "gross_range",
            {
                "invalid": gross_range(
                    by_parameter(lambda p: p.fail[0]), by_parameter(lambda p: p.fail[1])
                ),
                "suspect": either(
                    gross_range(
                        by_parameter(lambda p: p.suspect[0]),
                        by_parameter(lambda p: math.inf if p.pollutant else p.suspect[1]),
                    ),
                    unless_shared(
                        alone_above(
                            by_parameter(lambda p: p.suspect[1] if p.pollutant else math.inf),
                            EPISODE_SHARE,
                        ),
                        EPISODE_SHARE,
                    ),
                ),
            },
            before=REACH,
            after=REACH,
            # Neighbours count since 2.
            version=2,
        ),
        QualityTest(
            "spike",
            {
                "suspect": unless_shared(
                    spike(
                        SPIKE_TIMES,
                        by_parameter(lambda p: math.inf if p.spike is None else p.spike),
                    ),
                    EPISODE_SHARE,
                )
            },
            before=REACH,
            after=REACH,
            version=2,
        ),
        QualityTest(
            "rate_of_change",
            {
                "suspect": partial(
                    rate_of_change, most={p.name: p.rate for p in PARAMETERS.values() if p.rate}
                )
            },
            before=2 * HOUR,
        ),
        QualityTest("coverage", {"invalid": coverage(LEAST_COVERAGE)}),
        QualityTest("two_channels", {"suspect": two_channels()}),
        QualityTest("duplicate_hour", {"suspect": duplicate_hour()}),
        QualityTest(
            "flat_line",
            {
                "suspect": either(
                    partial(
                        flat_line_of_zeros,
                        at_least={name: p.zero_hours for name, p in PARAMETERS.items()},
                        share=STUCK_SHARE,
                    ),
                    partial(
                        flat_line,
                        chance=FLAT_LINE_CHANCE,
                        change=HOURLY_CHANGE,
                        pollutants=_POLLUTANTS,
                    ),
                )
            },
            before=REACH,
            after=REACH,
        ),
        QualityTest(
            "attenuated_signal",
            {
                "suspect": partial(
                    attenuated_signal,
                    share=STILL_SHARE,
                    hours=STILL_HOURS,
                    distinct=STILL_VALUES,
                    pollutants=_POLLUTANTS,
                )
            },
        ),
        QualityTest(
            "implausibly_small",
            {
                "suspect": partial(
                    implausibly_small,
                    least={p.name: p.least_maximum for p in PARAMETERS.values() if p.least_maximum},
                    hours=SIZE_HOURS,
                )
            },
        ),
        QualityTest(
            "pm25_above_pm10",
            {"suspect": partial(pm25_above_pm10, times=PM25_TIMES, beyond=PM25_BEYOND)},
        ),
        QualityTest(
            "out_of_step",
            {
                "suspect": out_of_step(
                    times=STEP_TIMES,
                    beyond={p.name: STEP_SPIKES * p.spike for p in PARAMETERS.values() if p.spike},
                    hours=STEP_HOURS,
                    stations=STEP_STATIONS,
                )
            },
        ),
        QualityTest(
            "negative_code",
            {"suspect": negative_code(_SIGNED, CODE_TIMES)},
            before=REACH,
            after=REACH,
        ),
        # Noise around zero is valid data: dropping it would bias the mean upwards (EPA 2016).
        QualityTest("negative", {"valid": negative(_SIGNED)}),
    )
)


def neighbours_of(stations: pl.DataFrame) -> pl.DataFrame:
    """Which stations (`STATIONS`) the tests take for `NEIGHBOURS`."""
    return neighbours_within(stations, NEIGHBOURHOOD_KM)
