"""The canonical parameters: their units, and the values that are physically plausible.

Ranges follow the proposals of OpenAQ, AirQo and the US EPA's AQS reporting floors. A value outside
`fail` cannot be a reading of the ambient air; one outside `suspect` deserves a look.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """One measured quantity.

    `fail` and `suspect` are inclusive bounds in `unit`. `molar_mass` (g/mol) is set for
    gases, whose volume fractions convert to mass concentrations. `signed` parameters may be
    negative by nature (°C). `zero_hours` is the number of exact zeros in a day from which a day
    made mostly of zeros counts as a stuck or clipped sensor: 1 where clean air itself is never
    zero at the sensor's resolution, more where an hour may honestly round to zero. `spike` is by
    how much an hour must at least stand out from those beside it to be no air. `least_maximum` is
    what the highest hour of a day exceeds everywhere on earth. `rate` is by how much the quantity
    may change from an hour to the next; None where fires, fronts and traffic know no bound.
    """

    name: str
    unit: str
    fail: tuple[float, float]
    suspect: tuple[float, float]
    molar_mass: float | None = None
    signed: bool = False
    pollutant: bool = True
    zero_hours: int = 6
    spike: float | None = None
    least_maximum: float | None = None
    rate: float | None = None


UG, MG = "µg/m³", "mg/m³"

_ALL = (
    Parameter("pm1", UG, (-10, 1000), (-10, 500), spike=100, least_maximum=0.05),
    Parameter("pm25", UG, (-10, 1000), (-10, 500), spike=100, least_maximum=0.1),
    Parameter("pm10", UG, (-10, 5000), (-10, 1000), spike=200, least_maximum=0.2),
    Parameter("bc", UG, (-5, 500), (-5, 100), spike=20),
    Parameter("no", UG, (-10, 5000), (-10, 1500), molar_mass=30.006, spike=300),
    Parameter("no2", UG, (-10, 2000), (-10, 500), molar_mass=46.006, spike=150, least_maximum=0.1),
    Parameter("o3", UG, (-10, 1000), (-10, 400), molar_mass=47.998, spike=150, least_maximum=0.2),
    Parameter("so2", UG, (-15, 10000), (-15, 1500), molar_mass=64.066, spike=400),
    # AQS floor of -0.5 ppm; the clean-air background is about 0.1 mg/m³, so zero is never clean.
    Parameter(
        "co",
        MG,
        (-0.6, 50),
        (-0.6, 15),
        molar_mass=28.010,
        zero_hours=1,
        spike=4,
        least_maximum=0.01,
    ),
    Parameter(
        "co2", "ppm", (200, 20000), (350, 5000), molar_mass=44.009, pollutant=False, zero_hours=1
    ),
    Parameter("temperature", "°C", (-60, 85), (-45, 55), signed=True, pollutant=False, rate=20),
    Parameter("humidity", "%", (0, 100.5), (0, 100.5), pollutant=False, zero_hours=1),
    Parameter("pressure", "hPa", (500, 1100), (550, 1085), pollutant=False, zero_hours=1, rate=20),
)

PARAMETERS: dict[str, Parameter] = {p.name: p for p in _ALL}

# What providers and loggers write for "no value" (timestamps.md; openaq-api#8; AirNow files).
SENTINELS: tuple[float, ...] = (-9999.0, -999.0, -99.9, 9999.0, 65535.0, 99999.0)
