"""Conversion of reported units into the canonical unit of each parameter.

Gases convert by the ideal gas law at 101.325 kPa and a reference temperature: 20 °C in EU law
(Directive 2008/50/EC, Annex VI), 25 °C at the US EPA. Particles are never converted between
temperatures.
"""

from __future__ import annotations

import re
import unicodedata

from aq_science.parameters import PARAMETERS

GAS_CONSTANT = 8.314462618  # J/(mol K), CODATA 2018
PRESSURE_KPA = 101.325
EU_REFERENCE_C = 20.0
EPA_REFERENCE_C = 25.0

# By `_plain`: what networks, loggers and files write ("oc": an ordinal sign for a degree).
_SPELLINGS = {
    "μg/m3": "µg/m³",
    "mg/m3": "mg/m³",
    "ng/m3": "ng/m³",
    **dict.fromkeys(("ppm", "ppmv", "μmol/mol"), "ppm"),
    **dict.fromkeys(("ppb", "ppbv", "nmol/mol"), "ppb"),
    **dict.fromkeys(("ppt", "pptv", "pmol/mol"), "ppt"),
    **dict.fromkeys(("°c", "oc", "c", "degc", "celsius", "degreescelsius"), "°C"),
    **dict.fromkeys(("°f", "of", "f", "degf", "fahrenheit", "degreesfahrenheit"), "°F"),
    **dict.fromkeys(("k", "degk", "kelvin"), "K"),
    **dict.fromkeys(("hpa", "mb", "mbar", "millibar"), "hPa"),
    "pa": "Pa",
    "kpa": "kPa",
    **dict.fromkeys(("%", "%rh", "rh%", "percent", "pct"), "%"),
    r"b'\xc2\xb5g/m\xc2\xb3'": "µg/m³",  # bytes written as text, in old exports of OpenAQ
}
_PER_CUBIC_METRE = re.compile(r"[./·*]?m-3$")
_MICRO = re.compile(r"^(u|mc|micro)(?=g/|mol/)")
_OTHER = {
    ("°F", "°C"): (5.0 / 9.0, -160.0 / 9.0),
    ("K", "°C"): (1.0, -273.15),
    ("Pa", "hPa"): (0.01, 0.0),
    ("kPa", "hPa"): (10.0, 0.0),
}
_MASS_UG = {"ng/m³": 1e-3, "µg/m³": 1.0, "mg/m³": 1e3}
_FRACTION_PPM = {"ppm": 1.0, "ppb": 1e-3, "ppt": 1e-6}


def molar_volume(reference_c: float = EU_REFERENCE_C) -> float:
    """Litres per mole of an ideal gas at `reference_c` and 101.325 kPa."""
    return GAS_CONSTANT * (reference_c + 273.15) / PRESSURE_KPA


def normalise_unit(unit: str) -> str:
    """One spelling for each unit; an unknown one comes back stripped, as it is."""
    return _SPELLINGS.get(_plain(unit), unit.strip())


def _plain(unit: str) -> str:
    """A unit without what differs between spellings: case, superscripts, blanks, kinds of micro."""
    # Unicode's compatible form has one micro sign and plain figures for superscripts.
    text = unicodedata.normalize("NFKC", unit).casefold().replace("−", "-")
    text = text.replace("^", "").replace("**", "").replace("deg.", "deg")
    text = _PER_CUBIC_METRE.sub("/m3", "".join(text.split()))
    return _MICRO.sub("μ", text)


def to_canonical(
    parameter: str, unit: str, reference_c: float = EU_REFERENCE_C
) -> tuple[float, float] | None:
    """How a unit is converted to the parameter's canonical one.

    Args:
        parameter: its canonical name.
        unit: as the network writes it.
        reference_c: temperature (°C) at which gases are converted, at 101.325 kPa.

    Returns:
        `(scale, offset)` so that `canonical = value * scale + offset`; None if the unit is unknown.

    >>> round(to_canonical("co", "ppm")[0], 4)
    1.1644
    """
    spec = PARAMETERS[parameter]
    source, target = normalise_unit(unit), spec.unit
    if source == target:
        return 1.0, 0.0
    for family in (_MASS_UG, _FRACTION_PPM):
        if source in family and target in family:
            return family[source] / family[target], 0.0
    if spec.molar_mass is not None:
        # As volume fractions in ppm, whichever way round.
        ug_per_ppm = 1000.0 * spec.molar_mass / molar_volume(reference_c)
        in_ug = {**_MASS_UG, **{unit: ppm * ug_per_ppm for unit, ppm in _FRACTION_PPM.items()}}
        if source in in_ug and target in in_ug:
            return in_ug[source] / in_ug[target], 0.0
    return _OTHER.get((source, target))
