"""What people and programs ask, in the proportions in which they might: Locust's side.

Run in an environment of its own (`benchmarks/load.lock`), without anything of the platform.
"""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from locust import FastHttpUser, constant, task  # type: ignore[import-not-found,unused-ignore]

_SEED = 20260131


class Someone(FastHttpUser):  # type: ignore[misc,unused-ignore]
    """Pages of now, apps that ask for their station or place, and analysts who load a month."""

    wait_time = constant(0)
    insecure = True

    def on_start(self) -> None:
        """Know the stations."""
        self.random = random.Random(_SEED)  # noqa: S311
        answer: Any = self.client.get("/v1/stations?limit=50", name="/v1/stations")
        self.stations = answer.json()["data"]
        self.end = datetime.fromisoformat(os.environ["AQ_BENCH_END"]).astimezone(UTC)

    def _ask(self, path: str, name: str) -> None:
        self.client.get(path, name=name, headers={"Accept-Encoding": "gzip"})

    @task(60)
    def category_of_a_station(self) -> None:
        """An app."""
        station = self.random.choice(self.stations)["station_id"]
        self._ask(f"/v1/category?station_id={station}", "/v1/category?station_id=…")

    @task(15)
    def latest_of_a_station(self) -> None:
        """A page of a station."""
        station = self.random.choice(self.stations)["station_id"]
        self._ask(f"/v1/latest?station_id={station}", "/v1/latest?station_id=…")

    @task(10)
    def everything(self) -> None:
        """A map."""
        self._ask("/v1/latest.geojson", "/v1/latest.geojson")

    @task(5)
    def category_of_a_point(self) -> None:
        """An app that knows where it is: no two ask for the same point."""
        near = self.random.choice(self.stations)
        latitude = (near["latitude"] or 0) + self.random.uniform(-0.05, 0.05)
        longitude = (near["longitude"] or 0) + self.random.uniform(-0.05, 0.05)
        point = f"latitude={latitude:.5f}&longitude={longitude:.5f}"
        self._ask(f"/v1/category?{point}", "/v1/category?latitude=…&longitude=…")

    @task(5)
    def stations_of_a_network(self) -> None:
        """A list."""
        self._ask("/v1/stations?network=airqino", "/v1/stations?network=…")

    @task(2)
    def month_of_a_station(self) -> None:
        """An analyst, from the tables."""
        station = self.random.choice(self.stations)["station_id"]
        start = (self.end - timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
        end = self.end.strftime("%Y-%m-%dT%H:%M:%SZ")
        self._ask(
            f"/v1/hourly-readings?station_id={station}&parameter=pm25&start={start}&end={end}",
            "/v1/hourly-readings, a month",
        )
