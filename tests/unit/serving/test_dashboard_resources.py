"""The resources that the pages add: overview, networks, network days and index categories."""

from __future__ import annotations

import pytest

from aq_serving.published import quarter_of
from tests.unit.serving.conftest import NOW, ODD, Ask

pytestmark = pytest.mark.server


class TestOverview:
    def test_every_station_has_a_row_and_what_is_missing_a_reason(self, ask: Ask) -> None:
        answer = ask("/v1/overview").json()
        assert answer["now"] == f"{quarter_of(NOW):%Y-%m-%dT%H:%M:%SZ}"
        rows = {row["station_id"]: row for row in answer["data"]}
        assert set(rows) == {"s1", "s2", "b1", ODD}
        assert (rows["s1"]["state"], rows["s1"]["rank_0"]) == ("current", 2)
        assert (rows["s1"]["category_1"], rows["s1"]["no_forecast"]) == ("Good", None)
        assert (rows["s2"]["state"], rows["s2"]["rank_0"]) == ("silent", None)
        assert rows["s2"]["no_forecast"] == "not_issued"

    def test_it_is_the_category_of_each(self, ask: Ask) -> None:
        [row] = ask("/v1/overview?station_id=s1").json()["data"]
        overall = ask("/v1/category?station_id=s1").json()["overall"]
        assert [one["rank"] for one in overall] == [row[f"rank_{h}"] for h in (0, 1, 2)]
        assert [one["hour"] for one in overall] == [row[f"hour_{h}"] for h in (0, 1, 2)]

    def test_it_is_a_map_too(self, ask: Ask) -> None:
        features = ask("/v1/overview.geojson?network=irceline").json()["features"]
        assert [one["properties"]["station_id"] for one in features] == ["b1"]

    def test_an_unknown_station_is_refused(self, ask: Ask) -> None:
        assert ask("/v1/overview?station_id=nothing").status_code == 404


class TestNetworks:
    def test_each_network_that_is_taken_in_has_a_row(self, ask: Ask) -> None:
        rows = ask("/v1/networks").json()["data"]
        assert [(row["network"], row["state"], row["stations"]) for row in rows] == [
            ("airqino", "current", 3),
            ("irceline", "current", 1),
        ]
        [row] = ask("/v1/networks?network=irceline").json()["data"]
        assert row["network"] == "irceline"
        assert ask("/v1/networks?network=openaq").json()["data"] == []

    def test_days_add_up_with_the_causes_of_gaps(self, ask: Ask) -> None:
        path = "/v1/network-days?start=2024-03-01&end=2024-03-11"
        rows = ask(path).json()["data"]
        assert len(rows) == 18
        for row in rows:
            counted = [row[f"hours_{name}"] for name in ("valid", "flagged", "missing")]
            assert sum(counted) == row["hours_expected"]
            # The days were not examined for changes.
            assert row["hours_revised"] is None
        assert {row["gap_source_silent"] for row in rows if row["network"] == "airqino"} == {1}
        assert {row["gap_source_silent"] for row in rows if row["network"] == "irceline"} == {0}
        assert ask(f"{path}&network=openaq").json()["data"] == []

    def test_a_range_is_a_year_at_most(self, ask: Ask) -> None:
        assert ask("/v1/network-days?start=2023-01-01&end=2024-03-11").status_code == 400


class TestIndexCategories:
    def test_a_version_of_an_index_has_its_six_categories(self, ask: Ask) -> None:
        asked = "index_name=us_epa&table_name=2024&parameter=pm25"
        rows = ask(f"/v1/index-categories?{asked}").json()["data"]
        assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5, 6]
        assert {row["index_name"] for row in ask("/v1/index-categories").json()["data"]} == {
            "us_epa",
            "european",
        }
        assert ask("/v1/index-categories?index_name=other").status_code == 400
