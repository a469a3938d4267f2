"""What the canonical parameters and units are in public vocabularies."""

from __future__ import annotations

from dataclasses import dataclass

_EEA = "http://dd.eionet.europa.eu/vocabulary/aq/pollutant/"
_CF = "http://vocab.nerc.ac.uk/standard_name/"
_QUDT = "http://qudt.org/vocab/unit/"

MEASUREMENT = "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement"


@dataclass(frozen=True)
class Concept:
    """A term of a vocabulary.

    Attributes:
        name: For people.
        definition: Its address.
    """

    name: str
    definition: str


# The European pollutants by the codes of the EEA's air quality reporting, all else by the standard
# names of the CF conventions.
PROPERTIES = {
    "pm1": Concept("Particulate matter below 1 µm", f"{_EEA}6002"),
    "pm25": Concept("Particulate matter below 2.5 µm", f"{_EEA}6001"),
    "pm10": Concept("Particulate matter below 10 µm", f"{_EEA}5"),
    "bc": Concept(
        "Black carbon", f"{_CF}mass_concentration_of_elemental_carbon_dry_aerosol_particles_in_air/"
    ),
    "no": Concept("Nitrogen monoxide", f"{_EEA}38"),
    "no2": Concept("Nitrogen dioxide", f"{_EEA}8"),
    "o3": Concept("Ozone", f"{_EEA}7"),
    "so2": Concept("Sulphur dioxide", f"{_EEA}1"),
    "co": Concept("Carbon monoxide", f"{_EEA}10"),
    "co2": Concept("Carbon dioxide", f"{_EEA}71"),
    "temperature": Concept("Air temperature", f"{_CF}air_temperature/"),
    "humidity": Concept("Relative humidity", f"{_CF}relative_humidity/"),
    "pressure": Concept("Air pressure", f"{_CF}air_pressure/"),
}

UNITS = {
    "µg/m³": Concept("microgram per cubic metre", f"{_QUDT}MicroGM-PER-M3"),
    "mg/m³": Concept("milligram per cubic metre", f"{_QUDT}MilliGM-PER-M3"),
    "ppm": Concept("part per million", f"{_QUDT}PPM"),
    "°C": Concept("degree Celsius", f"{_QUDT}DEG_C"),
    "%": Concept("percent", f"{_QUDT}PERCENT"),
    "hPa": Concept("hectopascal", f"{_QUDT}HectoPA"),
}
