"""The resources of the API as methods; what carries the requests is another module's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Generic, Literal, TypeVar

# A frame, or what an `await` makes one of.
Rows = TypeVar("Rows")

Names = str | Sequence[str] | None
Instant = datetime | str
Day = date | str
Mode = Literal["live", "hindcast"]
Params = Mapping[str, Any]

MOST_ROWS = 50_000


class Resources(ABC, Generic[Rows]):
    """Every resource, typed; ranges are half-open: `start` belongs to them, `end` does not."""

    @abstractmethod
    def _rows(self, path: str, params: Params) -> Rows:
        """All rows of a resource, page after page."""

    def stations(
        self,
        *,
        network: Names = None,
        station_id: Names = None,
        parameter: Names = None,
        country: Names = None,
        bbox: tuple[float, float, float, float] | None = None,
        near: tuple[float, float] | None = None,
        within_km: float = 25.0,
    ) -> Rows:
        """Stations; with `near` the nearest first, with their distance.

        Args:
            network: Of these networks.
            station_id: These stations.
            parameter: That report any of these.
            country: In these countries, ISO 3166-1 alpha-2.
            bbox: West, south, east and north in degrees.
            near: Latitude and longitude of a point.
            within_km: The greatest distance from it.

        Returns:
            A row a station.
        """
        where = _where(bbox, near, within_km)
        return self._rows(
            "stations.arrow", _selection(network, station_id, parameter, country=country, **where)
        )

    def latest(
        self, *, network: Names = None, station_id: Names = None, parameter: Names = None
    ) -> Rows:
        """Newest valid reading and newest forecast of every station and parameter.

        Args:
            network: Of these networks.
            station_id: Of these stations.
            parameter: These parameters.

        Returns:
            A row a station and parameter.
        """
        # On one page.
        params = _selection(network, station_id, parameter)
        return self._rows("latest.arrow", {**params, "limit": None})

    def category(
        self,
        *,
        network: str | None = None,
        station_id: str | None = None,
        near: tuple[float, float] | None = None,
        within_km: float = 25.0,
    ) -> Rows:
        """US EPA category now and in the next two hours, of a station or around a point.

        Args:
            network: The station's.
            station_id: A station, or else `near`.
            near: Latitude and longitude of a point, whose nearest station answers.
            within_km: The greatest distance from it.

        Returns:
            A row a parameter and horizon; horizon 0 is now.
        """
        params = _selection(network, station_id, None, **_where(None, near, within_km))
        return self._rows("category.arrow", {**params, "limit": None})

    def hourly_readings(
        self,
        start: Instant,
        end: Instant,
        *,
        network: Names = None,
        station_id: Names = None,
        parameter: Names = None,
        flag: Names = None,
    ) -> Rows:
        """Hourly readings that begin within a range: a month, of stations that are named a year.

        Args:
            start: First instant, with its offset.
            end: Instant before which the range ends.
            network: Of these networks.
            station_id: Of these stations.
            parameter: These parameters.
            flag: With these flags, such as `valid`.

        Returns:
            A row a station, parameter and hour.
        """
        params = _selection(network, station_id, parameter, flag=flag)
        return self._rows("hourly-readings.arrow", {**params, **_instants(start, end)})

    def daily_averages(
        self,
        start: Day,
        end: Day,
        *,
        network: Names = None,
        station_id: Names = None,
        parameter: Names = None,
        valid: bool | None = None,
    ) -> Rows:
        """Daily averages of a range of local days: a year, of stations that are named ten.

        Args:
            start: First day.
            end: Day before which the range ends.
            network: Of these networks.
            station_id: Of these stations.
            parameter: These parameters.
            valid: Days that meet the rule, or that do not.

        Returns:
            A row a station, parameter and day.
        """
        params = _selection(network, station_id, parameter, valid=valid)
        return self._rows("daily-averages.arrow", {**params, **_days(start, end)})

    def forecasts(
        self,
        start: Instant,
        end: Instant,
        *,
        network: Names = None,
        station_id: Names = None,
        parameter: Names = None,
        horizon: int | None = None,
        mode: Mode | None = None,
    ) -> Rows:
        """Forecasts issued within a range: a month, of stations that are named a year.

        Args:
            start: First instant, with its offset.
            end: Instant before which the range ends.
            network: Of these networks.
            station_id: Of these stations.
            parameter: These parameters.
            horizon: 1 or 2.
            mode: `live` or `hindcast`.

        Returns:
            A row a station, parameter, issue time and horizon.
        """
        params = _selection(network, station_id, parameter, horizon=horizon, mode=mode)
        return self._rows("forecasts.arrow", {**params, **_instants(start, end)})

    def scores(
        self,
        start: Day,
        end: Day,
        *,
        network: Names = None,
        station_id: Names = None,
        parameter: Names = None,
        horizon: int | None = None,
        mode: Mode | None = None,
    ) -> Rows:
        """How good forecasts were, by UTC day of issue.

        Args:
            start: First day.
            end: Day before which the range ends.
            network: Of these networks.
            station_id: Of these stations.
            parameter: These parameters.
            horizon: 1 or 2.
            mode: `live` or `hindcast`.

        Returns:
            A row a station, parameter, horizon, day and mode.
        """
        params = _selection(network, station_id, parameter, horizon=horizon, mode=mode)
        return self._rows("scores.arrow", {**params, **_days(start, end)})

    def gaps(
        self,
        start: Day,
        end: Day,
        *,
        network: Names = None,
        station_id: Names = None,
        parameter: Names = None,
        cause: Names = None,
    ) -> Rows:
        """Runs of hours without a valid value, by UTC day, with the cause.

        Args:
            start: First day.
            end: Day before which the range ends.
            network: Of these networks.
            station_id: Of these stations.
            parameter: These parameters.
            cause: These causes.

        Returns:
            A row a run.
        """
        params = _selection(network, station_id, parameter, cause=cause)
        return self._rows("gaps.arrow", {**params, **_days(start, end)})

    def exceedances(
        self,
        *,
        network: Names = None,
        station_id: Names = None,
        parameter: Names = None,
        year: int | None = None,
        standard: Names = None,
        exceeded: bool | None = None,
    ) -> Rows:
        """Years against the limits of WHO and EU.

        Args:
            network: Of these networks.
            station_id: Of these stations.
            parameter: These parameters.
            year: Of the local dates.
            standard: These standards, such as `who_2021`.
            exceeded: Limits that were exceeded, or were not.

        Returns:
            A row a station, parameter, year and limit.
        """
        more = {"year": year, "standard": standard, "exceeded": exceeded}
        return self._rows("exceedances.arrow", _selection(network, station_id, parameter, **more))

    def overview(self, *, network: Names = None, station_id: Names = None) -> Rows:
        """Worst US EPA category of every station, now and in the next two hours.

        Args:
            network: Of these networks.
            station_id: Of these stations.

        Returns:
            A row a station, with the reason where there is no category.
        """
        params = _selection(network, station_id, None)
        return self._rows("overview.arrow", {**params, "limit": None})

    def networks(self, *, network: Names = None) -> Rows:
        """How new the readings of each network are, and how many of its stations send."""
        return self._rows("networks.arrow", {"network": network})

    def network_days(self, start: Day, end: Day, *, network: Names = None) -> Rows:
        """Hours of each network by day: valid, flagged, missing, with the causes of gaps.

        Args:
            start: First day.
            end: Day before which the range ends; a year later at most.
            network: Of these networks.

        Returns:
            A row a network and day.
        """
        return self._rows("network-days.arrow", {"network": network, **_days(start, end)})

    def index_categories(
        self,
        *,
        index_name: str | None = None,
        table_name: str | None = None,
        parameter: Names = None,
    ) -> Rows:
        """Categories of the US EPA's and the European index: bands, colours and advice.

        Args:
            index_name: Of this index.
            table_name: Of this version of the breakpoints.
            parameter: These parameters.

        Returns:
            A row a category of a parameter.
        """
        asked = {"index_name": index_name, "table_name": table_name, "parameter": parameter}
        return self._rows("index-categories.arrow", asked)

    def columns(self, table: str) -> Rows:
        """Columns of a table (`daily_averages`): name, type, unit and description."""
        return self._rows(f"tables/{table}", {})

    def attribution(self) -> Rows:
        """Whom to credit for each network, which is due in what is published from its data."""
        return self._rows("attribution", {})


def _selection(network: Names, station_id: Names, parameter: Names, **more: Any) -> dict[str, Any]:
    return {
        "network": network,
        "station_id": station_id,
        "parameter": parameter,
        **more,
        "limit": MOST_ROWS,
    }


def _where(
    bbox: tuple[float, float, float, float] | None,
    near: tuple[float, float] | None,
    within_km: float,
) -> dict[str, Any]:
    found: dict[str, Any] = {"bbox": None if bbox is None else ",".join(map(str, bbox))}
    if near is not None:
        found |= {"latitude": near[0], "longitude": near[1], "within_km": within_km}
    return found


def _instants(start: Instant, end: Instant) -> dict[str, str]:
    for name, instant in (("start", start), ("end", end)):
        if isinstance(instant, datetime) and instant.tzinfo is None:
            raise ValueError(f"{name} needs a time zone, such as tzinfo=timezone.utc.")
    return {"start": _iso(start), "end": _iso(end)}


def _days(start: Day, end: Day) -> dict[str, str]:
    for name, day in (("start", start), ("end", end)):
        if isinstance(day, datetime):
            raise TypeError(f"{name} is a day here, without a time: a date, or YYYY-MM-DD.")
    return {"start": _iso(start), "end": _iso(end)}


def _iso(when: date | str) -> str:
    return when if isinstance(when, str) else when.isoformat()
