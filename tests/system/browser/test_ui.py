"""What people press in the Dagster UI, pressed: graph, one partition, backfill, sensor, plots."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from tests.system.browser.conftest import Ui
from tests.system.platform.conftest import days_ago
from tests.system.running import BACKFILL, CHAIN, RUN

RUN_AND_TAGS = """query ($id: ID!) {
  runOrError(runId: $id) { ... on Run { status tags { key value } } } }"""


def expect_success(ui: Ui) -> None:
    """The run's page that is open says so, with its log."""
    expect(ui.page.get_by_text("Success", exact=True)).to_be_visible()
    expect(ui.page.get_by_text("Loading run logs")).to_have_count(0)
    expect(ui.page.get_by_text("STEP_SUCCESS").first).to_be_visible()


def test_the_asset_graph_shows_the_group(ui: Ui) -> None:
    nodes = ui.platform.ask("{ assetNodes { groupName assetKey { path } } }")["assetNodes"]
    assets = [n["assetKey"]["path"][-1] for n in nodes if n["groupName"] == "airqino"]
    assert {"stations", *CHAIN, "forecast_models", "forecasts"} <= set(assets)
    ui.open_graph()
    for asset in assets:
        expect(ui.node(asset)).to_be_visible()
    # What the demo brought is told beside the names.
    expect(ui.page.get_by_text("Materialized", exact=True).first).to_be_visible()
    ui.picture("01-asset-graph")


def test_one_partition_is_materialized_from_its_page(ui: Ui) -> None:
    day = days_ago(6)
    ui.open_asset("raw_pulls")
    ui.page.get_by_role("button", name="Materialize").first.click()
    run_id = ui.launch(day, "02-one-partition-chosen")

    expect_success(ui)
    expect(ui.page.get_by_text(f"partition: {day}")).to_be_visible()
    ui.picture("03-run-of-one-partition")
    assert ui.platform.ask(RUN, id=run_id)["runOrError"]["status"] == "SUCCESS"

    ui.open_asset("raw_pulls", "partitions")
    ui.page.get_by_text(day, exact=True).first.click()
    expect(ui.page.get_by_text("answers", exact=True).first).to_be_visible()
    ui.picture("04-partition-materialized")
    assert any(
        path.startswith(f"date={day}/") for path in ui.platform.installation.files("raw_pulls")
    )


def test_ten_partitions_of_three_assets_are_backfilled_from_the_graph(ui: Ui) -> None:
    days = [days_ago(n) for n in range(20, 10, -1)]
    ui.open_graph()
    ui.node("daily_averages").click()
    # Shift takes the way between the two as well.
    ui.node("raw_pulls").click(modifiers=["Shift"])
    ui.page.get_by_role("button", name="Materialize selected (3)").click()
    backfill_id = ui.launch(f"[{days[0]}...{days[-1]}]", "05-ten-partitions-chosen")

    done = ui.page.get_by_text("100% completed")
    expect(done.first).to_be_visible()
    ui.picture("06-backfill-under-way")
    expect(done).to_have_count(len(CHAIN))
    # A column of that name, and the state.
    expect(ui.page.get_by_text("Succeeded", exact=True)).to_have_count(2)
    ui.picture("07-backfill-finished")

    found = ui.platform.ask(BACKFILL, id=backfill_id)["partitionBackfillOrError"]
    assert found["status"] == "COMPLETED_SUCCESS"
    averages = ui.platform.installation.table("daily_averages")
    assert set(days) <= {str(day) for day in averages["date"]}
    files = ui.platform.installation.files("hourly_readings")
    assert {f"date={day}/readings.parquet" for day in days} <= set(files)


def test_an_asset_shows_its_plot_and_its_tables(ui: Ui) -> None:
    ui.open_asset("hourly_readings")
    ui.page.get_by_text("[Show Markdown]").first.click()
    plot = ui.page.get_by_role("dialog").get_by_role("img").last
    expect(plot).to_be_visible()
    drawn: dict[str, Any] = plot.evaluate("e => ({tag: e.tagName, width: e.naturalWidth})")
    assert drawn["tag"] == "IMG"
    assert drawn["width"] > 200
    ui.picture("08-plot-of-hourly-readings")

    ui.open_asset("raw_pulls")
    # The table of answers, within the table of metadata.
    answers = ui.page.get_by_role("table").filter(has_text="subject").last
    answers.scroll_into_view_if_needed()
    expect(answers.get_by_role("row")).not_to_have_count(0)
    for column in ("subject", "days", "status", "characters"):
        expect(answers.get_by_text(column, exact=True)).to_be_visible()
    ui.picture("09-table-of-answers")
    ui.open_asset("daily_averages")
    columns = ui.page.get_by_role("table").filter(has_text="Column name").first
    expect(columns.get_by_text("completeness", exact=True).first).to_be_visible()
    ui.picture("10-columns-of-daily-averages")


def test_a_sensor_switched_on_starts_a_run(ui: Ui) -> None:
    # The last test of this file: the sensor stays on.
    page = ui.page
    ui.open("/automation")
    # New readings, forecasts, late data.
    expect(page.get_by_text("Standard sensor").nth(2)).to_be_visible()
    ui.picture("11-automation")
    page.get_by_role("link", name="airqino_new_readings").click()
    switch = page.get_by_role("checkbox")
    expect(switch).not_to_be_checked()
    # The input itself is hidden behind what is drawn.
    page.locator("label", has=switch).click()
    expect(switch).to_be_checked()

    requested = page.get_by_role("table").last.get_by_text("1 run requested").first
    expect(requested).to_be_visible()
    ui.picture("12-sensor-switched-on")
    page.get_by_role("button", name="Runs", exact=True).click()
    page.get_by_role("link", name="View", exact=True).last.click()
    page.wait_for_url(re.compile("/runs/.+"))
    expect_success(ui)
    ui.picture("13-run-of-the-sensor")

    run_id = page.url.rpartition("/")[2]
    run = ui.platform.ask(RUN_AND_TAGS, id=run_id)["runOrError"]
    assert run["status"] == "SUCCESS"
    assert {"key": "dagster/sensor_name", "value": "airqino_new_readings"} in run["tags"]

    ui.open("/runs")
    expect(page.get_by_role("link", name="airqino_new_readings").first).to_be_visible()
    ui.picture("14-runs")
