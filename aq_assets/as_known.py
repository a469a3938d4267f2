"""Hourly readings and daily averages of a network for any past moment: as they were known then.

Made by the very functions that the assets call, of the raw pulls received by then; nothing is
stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import polars as pl

from aq_assets.daily_averages import averages_of, elsewhere_by, reach, zones_of
from aq_assets.station_places import places_of
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_has_places
from aq_resources.services import Services
from aq_resources.stores.known_pulls import KnownPulls
from aq_resources.stores.version_reader import VersionReader
from aq_science.places import zones_elsewhere
from aq_science.quality.suite import STANDARD, neighbours_of
from aq_science.readings import hourly_readings
from aq_science.versions import fold_versions
from aq_science.windows import DAY, Window


class KnownThen:
    """One network as it was known at a time, asked for window by window in order."""

    def __init__(
        self,
        services: Services,
        config: NetworkConfig,
        stations: pl.DataFrame,
        as_known_at: datetime,
    ) -> None:
        """Reads nothing yet.

        Args:
            services: For the object store, the network's client and the settings.
            config: The network.
            stations: Its `STATIONS`, for their time zones: they are as they are today.
            as_known_at: The time, UTC.
        """
        self.services = services
        self.network = config.name
        self.pulls = KnownPulls(services.object_store, config.name, as_known_at)
        self._client = services.client(config.name)
        self._reader = VersionReader(self.pulls, self._client)
        self._config = config
        self._stations = stations
        self._neighbours = neighbours_of(stations)

    def windows(self, first: date | None, last: date | None) -> list[Window]:
        """The days that had been pulled, from `first` to `last`, in chunks of consecutive ones."""
        days = [
            day
            for day in self.pulls.days()
            if (first is None or first <= day) and (last is None or day <= last)
        ]
        return list(consecutive(days, self.services.chunk))

    def readings(self, days: Window) -> pl.DataFrame:
        """`HOURLY_READINGS` of whole UTC days."""
        versions, _ = self._reader.read_around(days, STANDARD.with_context(days))
        reference_c = self.services.settings.gas_reference_celsius
        folded = fold_versions(versions)
        return hourly_readings(
            folded, self.network, reference_c, within=days, neighbours=self._neighbours
        )

    def averages(self, days: Window, readings: pl.DataFrame) -> pl.DataFrame:
        """`DAILY_AVERAGES` of the local dates named as `days`, of the readings of `around` them."""
        zones = zones_of(self._stations)
        if network_has_places(self.network):
            places = places_of(self.pulls, self._client, self.network, days)
            elsewhere = zones_elsewhere(places, zones)
        else:
            elsewhere = elsewhere_by(self._config, self.services, zones)(days)
        return averages_of(days, readings, self._stations, elsewhere, self.services.settings)


def around(days: Window) -> Window:
    """The whole UTC days that local days of these dates reach into."""
    dates = reach(days).dates
    return Window.of_days(dates[0], dates[-1])


def consecutive(days: list[date], longest: timedelta) -> Iterator[Window]:
    """Windows over sorted days, none with a day that is not among them.

    Args:
        days: In order, each once.
        longest: Length that no window exceeds.

    Yields:
        The windows in order.
    """
    begin = 0
    for end in range(1, len(days) + 1):
        if end == len(days) or days[end] != days[end - 1] + DAY:
            yield from Window.of_days(days[begin], days[end - 1]).chunks(longest)
            begin = end
