"""Units: physics at both reference temperatures, every spelling, and no guess at the unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.parameters import PARAMETERS
from aq_science.units import (
    EPA_REFERENCE_C,
    EU_REFERENCE_C,
    molar_volume,
    normalise_unit,
    to_canonical,
)

GASES = [name for name, p in PARAMETERS.items() if p.molar_mass is not None]


def convert(value: float, parameter: str, unit: str, reference_c: float = EU_REFERENCE_C) -> float:
    factors = to_canonical(parameter, unit, reference_c)
    assert factors is not None
    return value * factors[0] + factors[1]


@pytest.mark.parametrize(
    ("celsius", "litres"), [(0, 22.4140), (20, 24.0551), (25, 24.4654)], ids=["0", "20", "25"]
)
def test_molar_volume(celsius: float, litres: float) -> None:
    assert molar_volume(celsius) == pytest.approx(litres, abs=5e-5)


@pytest.mark.parametrize(
    ("parameter", "value", "unit", "celsius", "expected"),
    [
        pytest.param("co", 1.0, "ppm", EU_REFERENCE_C, 1.1644, id="co-ppm-20C"),
        pytest.param("co", 1.0, "ppm", EPA_REFERENCE_C, 1.1449, id="co-ppm-25C"),
        pytest.param("co", 1.0, "ppm", 0.0, 1.2497, id="co-ppm-0C"),
        pytest.param("co", 9.0, "ppm", EU_REFERENCE_C, 10.4797, id="co-epa-level-20C"),
        pytest.param("co", 1000.0, "ppb", EU_REFERENCE_C, 1.1644, id="co-ppb"),
        pytest.param("co", 10_000.0, "µg/m³", EU_REFERENCE_C, 10.0, id="co-µg"),
        pytest.param("no2", 1.0, "ppb", EU_REFERENCE_C, 1.9126, id="no2-ppb-20C"),
        pytest.param("o3", 1.0, "ppb", EU_REFERENCE_C, 1.9954, id="o3-ppb-20C"),
        pytest.param("so2", 1.0, "ppb", EU_REFERENCE_C, 2.6633, id="so2-ppb-20C"),
        pytest.param("no2", 0.04, "mg/m³", EU_REFERENCE_C, 40.0, id="no2-mg"),
        pytest.param("co2", 420_000.0, "ppb", EU_REFERENCE_C, 420.0, id="co2-ppb"),
        pytest.param("bc", 1500.0, "ng/m³", EU_REFERENCE_C, 1.5, id="bc-ng"),
        pytest.param("temperature", 212.0, "°F", EU_REFERENCE_C, 100.0, id="boiling"),
        pytest.param("temperature", -40.0, "f", EU_REFERENCE_C, -40.0, id="where-scales-meet"),
        pytest.param("temperature", 300.0, "K", EU_REFERENCE_C, 26.85, id="kelvin"),
        pytest.param("no2", 1000.0, "ppt", EU_REFERENCE_C, 1.9126, id="no2-ppt"),
        pytest.param("pressure", 101.325, "kPa", EU_REFERENCE_C, 1013.25, id="kilopascal"),
        pytest.param("pressure", 101_325.0, "Pa", EU_REFERENCE_C, 1013.25, id="pascal"),
        pytest.param("pressure", 1013.25, "mbar", EU_REFERENCE_C, 1013.25, id="millibar"),
    ],
)
def test_conversion(
    parameter: str, value: float, unit: str, celsius: float, expected: float
) -> None:
    assert convert(value, parameter, unit, celsius) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("spelling", "unit"),
    [
        ("µg/m³", "µg/m³"),
        ("μg/m³", "µg/m³"),
        ("μg/m3", "µg/m³"),
        ("µg/m3", "µg/m³"),
        ("ug/m3", "µg/m³"),
        ("UG/M3", "µg/m³"),
        (" ug/m3 ", "µg/m³"),
        ("mg/m3", "mg/m³"),
        ("ng/m3", "ng/m³"),
        ("ppb", "ppb"),
        ("ppm", "ppm"),
        ("c", "°C"),
        ("C", "°C"),
        ("F", "°F"),
        ("hpa", "hPa"),
        ("mb", "hPa"),
        ("%", "%"),
        ("ug/m³", "µg/m³"),
        ("ug.m-3", "µg/m³"),
        ("µg.m-3", "µg/m³"),
        ("μg m⁻³", "µg/m³"),
        ("µg·m⁻³", "µg/m³"),
        ("ug/m^3", "µg/m³"),
        ("ug/m**3", "µg/m³"),
        ("mcg/m3", "µg/m³"),
        ("㎍/㎥", "µg/m³"),
        ("mg.m-3", "mg/m³"),
        ("ng m-3", "ng/m³"),
        ("PPM", "ppm"),
        ("ppmv", "ppm"),
        ("umol/mol", "ppm"),
        ("PPB", "ppb"),
        ("ppbv", "ppb"),
        ("nmol/mol", "ppb"),
        ("pptv", "ppt"),
        ("degC", "°C"),
        ("deg C", "°C"),
        ("℃", "°C"),
        ("º C", "°C"),
        ("Celsius", "°C"),
        ("degF", "°F"),
        ("K", "K"),
        ("kPa", "kPa"),
        ("% RH", "%"),
        ("percent", "%"),
        ("particles/cm³", "particles/cm³"),
        ("µg/Nm³", "µg/Nm³"),
    ],
)
def test_one_spelling_for_each_unit(spelling: str, unit: str) -> None:
    assert normalise_unit(spelling) == unit


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_canonical_unit_is_left_alone(parameter: str) -> None:
    assert to_canonical(parameter, PARAMETERS[parameter].unit) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("parameter", "unit"),
    [
        ("pm25", "ppm"),
        ("pm25", "particles/cm³"),
        ("co", "°C"),
        ("co", ""),
        ("humidity", "ppm"),
        ("temperature", "hPa"),
        ("pressure", "°F"),
    ],
)
def test_unit_that_does_not_fit_is_not_guessed(parameter: str, unit: str) -> None:
    assert to_canonical(parameter, unit) is None


@pytest.mark.parametrize("parameter", ["pm1", "pm25", "pm10", "bc"])
def test_particles_do_not_depend_on_the_reference_temperature(parameter: str) -> None:
    assert to_canonical(parameter, "mg/m³", 20.0) == to_canonical(parameter, "mg/m³", 25.0)


@given(st.sampled_from(GASES), st.floats(1e-3, 1e3), st.sampled_from([20.0, 25.0]))
def test_ways_round_the_gas_law_agree(gas: str, ppm: float, celsius: float) -> None:
    """1 ppm is 1000 ppb, and its mass is that of its µg, mg and ng."""
    canonical = convert(ppm, gas, "ppm", celsius)
    assert convert(ppm * 1000, gas, "ppb", celsius) == pytest.approx(canonical, rel=1e-12)
    molar_mass = PARAMETERS[gas].molar_mass
    assert molar_mass is not None
    micrograms = ppm * 1000 * molar_mass / molar_volume(celsius)
    for unit, factor in {"µg/m³": 1.0, "mg/m³": 1e-3, "ng/m³": 1e3}.items():
        assert convert(micrograms * factor, gas, unit, celsius) == pytest.approx(
            canonical, rel=1e-12
        )


@given(st.floats(-100, 200))
def test_fahrenheit_and_back(celsius: float) -> None:
    assert convert(celsius * 9 / 5 + 32, "temperature", "°F") == pytest.approx(celsius, abs=1e-9)
