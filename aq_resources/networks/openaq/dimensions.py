"""OpenAQ's lists of countries and parameters: tables beside the stations."""

from __future__ import annotations

from typing import Any

import msgspec

from aq_resources.network_client import Problems
from aq_resources.networks.openaq.api import Api
from aq_resources.networks.openaq.bodies import NAMES, Aware, Instant, records_of
from aq_science.windows import Window

# Tables beside the stations.
DIMENSIONS = ("countries", "parameters")


class ListedParameter(msgspec.Struct, rename="camel"):
    """A parameter in one of its units."""

    id: int
    name: str
    units: str
    display_name: str | None = None
    description: str | None = None

    @property
    def row(self) -> dict[str, Any]:
        """Its row in the table of parameters."""
        return {
            "parameter_id": self.id,
            "name": self.name,
            "unit": self.units,
            "display_name": self.display_name,
            "description": self.description,
            "parameter": NAMES.get(self.name),
        }


class Country(msgspec.Struct, rename="camel"):
    """A country with readings."""

    id: int
    code: str | None = None
    name: str | None = None
    # Plain text here, an object of two times elsewhere.
    datetime_first: Aware | Instant | None = None
    datetime_last: Aware | Instant | None = None
    parameters: list[ListedParameter] = []

    @property
    def row(self) -> dict[str, Any]:
        """Its row in the table of countries."""
        first, last = (
            one.utc if isinstance(one, Instant) else one
            for one in (self.datetime_first, self.datetime_last)
        )
        names = {NAMES.get(one.name) for one in self.parameters}
        return {
            "country_id": self.id,
            "code": self.code,
            "name": self.name,
            "first_reading": first,
            "last_reading": last,
            "parameters": sorted(name for name in names if name is not None),
        }


def dimension_rows(api: Api, name: str, window: Window) -> list[dict[str, Any]]:
    """List one of `DIMENSIONS`, every page of it.

    Args:
        api: OpenAQ's interface.
        name: Which one.
        window: Stands in the answers, which are not kept.

    Returns:
        Its rows.

    Raises:
        TransientFailure: OpenAQ cannot be asked now.
        PermanentFailure: OpenAQ refuses.
    """
    kind: type[Country | ListedParameter] = Country if name == "countries" else ListedParameter
    rows: list[dict[str, Any]] = []
    for pull in api.pages(name, f"/{name}", {}, window):
        if pull.failure is not None:
            raise pull.failure
        if pull.answer is not None:
            rows += [one.row for one in records_of(pull.answer, kind, Problems())]
    return rows
