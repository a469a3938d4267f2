"""The page of ten years of hours: it opens, and its first hours can be made from there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.system.browser.conftest import Ui
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import STATIONS, days_ago
from tests.system.running import BACKFILL, Platform, up

TEN_YEARS = 3652
LEAST = TEN_YEARS * 24
KEYS = """{ assetNodeOrError(assetKey: {path: ["airqino", "forecasts"]}) {
  ... on AssetNode { partitionKeys partitionStats { numPartitions numMaterialized } } } }"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """`aq up` of a network that began ten years ago."""
    installation = (
        Installation(tmp_path_factory.mktemp("ten-years"))
        .with_networks(airqino={"start_date": days_ago(TEN_YEARS), "stations": STATIONS})
        .with_settings(AQ_SENSORS="false")
    )
    with up(installation, "--sandbox") as platform:
        yield platform


def test_hours_of_ten_years_ago_are_backfilled_from_their_page(ui: Ui) -> None:
    first = days_ago(TEN_YEARS)
    encodings: list[str | None] = []
    ui.page.on(
        "response",
        lambda r: (
            encodings.append(r.headers.get("content-encoding"))
            if "PartitionHealthQuery" in (r.request.post_data or "")
            else None
        ),
    )
    ui.open_asset("forecasts", "partitions")
    expect(ui.page.get_by_text("Materialized (0)", exact=True)).to_be_visible()
    assert encodings[0] == "gzip"

    ui.page.get_by_role("button", name="Materialize").first.click()
    # Nothing of this network was ever pulled.
    ui.page.get_by_role("button", name="Confirm").click()
    # Of so many the dialog offers the last 90 days at first.
    ui.page.get_by_text("Show all partitions", exact=True).click()
    backfill_id = ui.launch(f"[{first}-00:00...{first}-01:00]", "15-hours-of-ten-years-ago")
    expect(ui.page.get_by_text("100% completed").first).to_be_visible()
    found = ui.platform.ask(BACKFILL, id=backfill_id)["partitionBackfillOrError"]
    assert found["status"] == "COMPLETED_SUCCESS"

    ui.open_asset("forecasts", "partitions")
    expect(ui.page.get_by_text("Materialized (2)", exact=True)).to_be_visible()
    ui.picture("16-ten-years-of-hours")
    node = ui.platform.ask(KEYS)["assetNodeOrError"]
    assert node["partitionKeys"][:2] == [f"{first}-00:00", f"{first}-01:00"]
    assert len(node["partitionKeys"]) > LEAST
    assert node["partitionStats"]["numMaterialized"] == 2
