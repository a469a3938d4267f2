"""The nightly upkeep: four assets whose materializations carry what was there before and after."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from aq_assets.describe import OWNER
from aq_platform.definitions import build_defs
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawPullStore
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.windows import Window
from tests.factories import DAY, HOUR, MIDNIGHT, answer, daily_frame

# Whole jobs, executed.
pytestmark = pytest.mark.server

CONFIG = NetworkConfig(name="airqino", start_date=date(2024, 3, 1), stations=("283164601",))
NAMES = {"warehouse", "run_history", "raw_pulls", "publication"}


@pytest.fixture
def services(
    tmp_path: Path, clean_environment: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Services]:
    """In the simulated March of 2024."""
    monkeypatch.setenv("AQ_HOME", str(tmp_path / "aq"))
    made = Services(Settings(), {"airqino": CONFIG}, now=lambda: MIDNIGHT + 5 * DAY)
    yield made
    made.close()


@pytest.fixture
def definitions(services: Services) -> dg.Definitions:
    return build_defs(services)


def upkeep(definitions: dg.Definitions) -> dict[str, dict[str, object]]:
    """Metadata of each asset after a night."""
    with dg.DagsterInstance.local_temp() as instance:
        result = definitions.resolve_job_def("upkeep").execute_in_process(instance=instance)
        assert result.success
        events = [event.materialization for event in result.get_asset_materialization_events()]
        assert {tuple(event.asset_key.path) for event in events} == {("upkeep", n) for n in NAMES}
        return {
            event.asset_key.path[-1]: {k: v.value for k, v in event.metadata.items()}
            for event in events
        }


def test_the_assets_are_described_and_without_partitions(definitions: dg.Definitions) -> None:
    specs = [s for s in definitions.resolve_all_asset_specs() if s.group_name == "upkeep"]
    assert {tuple(spec.key.path) for spec in specs} == {("upkeep", name) for name in NAMES}
    for spec in specs:
        assert list(spec.owners) == [OWNER]
        assert spec.kinds
        assert spec.description
        assert spec.partitions_def is None


def test_a_night_on_a_new_installation(definitions: dg.Definitions) -> None:
    found = upkeep(definitions)
    assert found["raw_pulls"]["files_after"] == 0
    assert found["warehouse"]["tables_merged"] == 0
    assert found["run_history"]["runs_deleted"] == 0


def test_what_is_there_before_and_after_is_plotted(
    definitions: dg.Definitions, services: Services
) -> None:
    for n in range(5):
        day = CONFIG.start_date + n * DAY
        frame = daily_frame(day, mean=n)
        services.warehouse.replace("airqino", DAILY_AVERAGES, frame, (day, day + DAY))
    rows = services.warehouse.rows("airqino", DAILY_AVERAGES)
    pulls = RawPullStore(services.object_store, "airqino")
    for n in range(4):
        for number in (1, 3, 4):  # by the platform's clock, the last one ended a day ago
            window = Window.of_days(date(2024, 3, number), date(2024, 3, number))
            at = MIDNIGHT + 5 * DAY - (4 - n) * HOUR
            pulls.append([answer(f"{n}", window=window, pulled_at=at)])

    found = upkeep(definitions)
    warehouse, history, raw = (found[n] for n in ("warehouse", "run_history", "raw_pulls"))
    assert warehouse["files_before"] == 6
    assert warehouse["files_after"] == 2
    # Nothing is a week old by the clock that stamped it.
    assert warehouse["snapshots_expired"] == warehouse["files_deleted"] == 0
    assert history["runs_before"] == history["runs_after"] == 1
    assert (raw["files_before"], raw["files_after"], raw["folders"]) == (12, 6, 2)
    for metadata in found.values():
        numbers = {name for name, value in metadata.items() if isinstance(value, int | float)}
        assert {name for name in numbers if name.endswith("before")}
    after = services.warehouse.rows("airqino", DAILY_AVERAGES)
    assert after.sort("date").equals(rows.sort("date"))


def test_kept_days_are_settings(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, float] = {}

    def prune(instance: object, before: datetime) -> None:
        asked["history"] = (datetime.now(UTC) - before) / DAY
        raise KeyboardInterrupt

    monkeypatch.setattr("aq_assets.upkeep.prune_history", prune)
    monkeypatch.setenv("AQ_KEEP_HISTORY_DAYS", "12")
    definitions = build_defs(Services(Settings(), {}, now=services.now))
    with pytest.raises(KeyboardInterrupt), dg.DagsterInstance.local_temp() as instance:
        definitions.resolve_job_def("upkeep").execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(["upkeep", "run_history"])]
        )
    assert asked["history"] == pytest.approx(12, abs=0.01)


def test_a_file_of_others_in_the_warehouse_s_folder_is_told(
    definitions: dg.Definitions, services: Services
) -> None:
    services.warehouse.read("SELECT 1")
    folder = Path(services.settings.warehouse_data_path)
    folder.mkdir(exist_ok=True)
    stranger = folder / "mine.parquet"
    stranger.write_bytes(b"x")
    os.utime(stranger, (0, 0))
    found = upkeep(definitions)
    assert found["warehouse"]["foreign_files"] == 1
    assert stranger.exists()
