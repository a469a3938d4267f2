"""Publications: the same values everywhere, one publication at a time, faults told."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from fastapi import FastAPI

from aq_resources.publication.manifest import ROOT, Manifest, manifest_key, read_manifest
from aq_resources.publication.publisher import remove_unneeded
from aq_resources.services import Services
from aq_resources.stores.object_store import ObjectStore
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.newest_hours import NEWEST_HOURS
from aq_science.windows import DAY
from aq_serving.app import create_app
from aq_serving.settings import ApiSettings
from tests.factories import daily_frame, hourly
from tests.unit.serving.conftest import (
    FIRST,
    NETWORKS,
    NOW,
    Ask,
    asker,
    fill,
    publish,
    write_hours,
)

pytestmark = pytest.mark.server

HOT = (
    "/v1/latest",
    "/v1/latest.geojson",
    "/v1/latest?format=parquet",
    "/v1/latest?network=irceline",
    "/v1/latest?station_id=s1&format=csv",
    "/v1/latest?parameter=co",
    "/v1/stations",
    "/v1/stations?network=airqino&limit=1",
    "/v1/stations?latitude=5.3&longitude=-4&within_km=50",
    "/v1/category?station_id=s1",
    "/v1/category?latitude=50.8&longitude=4.3",
    "/v1/overview",
    "/v1/overview.geojson?network=irceline",
    "/v1/overview?station_id=s1&format=csv",
    "/v1/networks",
    "/v1/networks?network=airqino",
)


def own_services(folder: Path, clock: list[Any]) -> Services:
    """Filled stores in a folder; the clock is the list's last element."""
    (folder / "networks.yaml").write_text(NETWORKS, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AQ_HOME", str(folder / "home"))
        patch.setenv("AQ_NETWORKS", str(folder / "networks.yaml"))
        found = Services.from_environment(now=lambda: clock[-1])
    found.warehouse.prepare()
    fill(found, 1)
    return found


@pytest.fixture
def clock() -> list[Any]:
    return [NOW]


@pytest.fixture
def own(tmp_path: Path, clock: list[Any]) -> Iterator[Services]:
    """Stores that a test may change, with both networks published."""
    services = own_services(tmp_path, clock)
    publish(services, "airqino")
    publish(services, "irceline")
    yield services
    services.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The same, for all tests that leave them as they are."""
    services = own_services(tmp_path_factory.mktemp("published"), [NOW])
    publish(services, "airqino")
    publish(services, "irceline")
    yield services
    services.close()


def manifest_of(store: ObjectStore) -> Manifest:
    return read_manifest(store.get(manifest_key()), "manifest")


def rows_of_file(store: ObjectStore, name: str) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(store.get(f"{ROOT}/{manifest_of(store).files[name].key}")))


class Served:
    """An application with its publication, which is looked at when a test says so."""

    def __init__(self, services: Services) -> None:
        self.application = create_app(services, ApiSettings())
        self.ask: Ask = asker(self.application)
        # Builds the layers.
        self.ask("/healthz")
        self.publication = self._layer("_publication")

    def _layer(self, name: str) -> Any:
        layer: Any = self.application.middleware_stack
        while not hasattr(layer, name):
            layer = next(value for key, value in vars(layer).items() if key in ("app", "_app"))
        return getattr(layer, name)

    def look(self) -> None:
        self.publication.look()


class TestValues:
    def test_hot_answers_are_those_of_the_tables_in_every_byte(self, kept: Services) -> None:
        of_tables, hot = Served(kept), Served(kept)
        hot.look()
        assert of_tables.publication.published is None
        for path in HOT:
            expected, first, again = of_tables.ask(path), hot.ask(path), hot.ask(path)
            assert expected.status_code == 200, expected.text
            assert first.content == again.content == expected.content, path
            for name in ("etag", "content-type", "link", "attribution", "cache-control"):
                assert first.headers.get(name) == again.headers.get(name), path
                assert again.headers.get(name) == expected.headers.get(name), path

    def test_a_sample_is_the_same_in_api_snapshots_and_warehouse(self, kept: Services) -> None:
        served = Served(kept)
        served.look()
        latest = served.ask("/v1/latest").json()["data"]
        assert len(latest) >= 3
        published = rows_of_file(kept.object_store, "latest.parquet")
        for row in latest:
            key = {name: row[name] for name in ("network", "station_id", "parameter")}
            [snapshot] = published.filter(**key).to_dicts()
            assert (snapshot["value"], snapshot["unit"]) == (row["value"], row["unit"])
            [stored] = kept.warehouse.read(
                "SELECT value, unit, hour FROM air_quality.hourly_readings WHERE network = ? AND "
                "station_id = ? AND parameter = ? AND flag = 'valid' ORDER BY hour DESC LIMIT 1",
                list(key.values()),
            ).to_dicts()
            assert (stored["value"], stored["unit"]) == (row["value"], row["unit"])
            assert stored["hour"] == snapshot["hour"]
            predicted = kept.warehouse.read(
                "SELECT value FROM air_quality.forecasts WHERE network = ? AND station_id = ? AND "
                "parameter = ? AND horizon = 1 ORDER BY issued_for DESC LIMIT 1",
                list(key.values()),
            )["value"].to_list()
            assert predicted == [row["forecast_1_value"]] * bool(predicted)
        day = "start=2024-03-01&end=2024-04-01"
        for network in ("airqino", "irceline"):
            averages = served.ask(f"/v1/daily-averages?network={network}&{day}").json()["data"]
            name = f"{network}/daily_averages/2024-03"
            month = manifest_of(kept.object_store).files[f"{name}.json"]
            assert json.loads(kept.object_store.get(f"{ROOT}/{month.key}"))["data"] == averages
            stored_rows = kept.warehouse.rows(network, DAILY_AVERAGES)
            found = rows_of_file(kept.object_store, f"{name}.parquet")
            assert found["mean"].to_list() == stored_rows.sort("date")["mean"].to_list()

    def test_every_file_says_units_and_whom_to_credit(self, kept: Services) -> None:
        store = kept.object_store
        for name, file in manifest_of(store).files.items():
            data = store.get(f"{ROOT}/{file.key}")
            if name.endswith(".parquet"):
                metadata = pl.read_parquet_metadata(io.BytesIO(data))
                found = {key: json.loads(metadata[key]) for key in ("attribution", "columns")}
            else:
                found = json.loads(data)
            assert {"network", "attribution", "licence"} <= found["attribution"][0].keys(), name
            has_unit = any(column["unit"] for column in found["columns"])
            assert has_unit == (NEWEST_HOURS.name not in name), name
            if file.gzip is not None:
                assert gzip.decompress(store.get(f"{ROOT}/{file.gzip}")) == data


class TestPublishing:
    def test_the_same_inputs_give_the_same_bytes(
        self, own: Services, clock: list[Any], tmp_path: Path
    ) -> None:
        before = {key: own.object_store.get(key) for key in own.object_store.keys(ROOT)}
        written = own.object_store.modified(ROOT)
        clock.append(NOW + timedelta(minutes=5))
        publish(own, "airqino")
        assert own.object_store.modified(ROOT) == written
        other = tmp_path / "other"
        other.mkdir()
        again = own_services(other, [NOW])
        # In another order, too.
        publish(again, "irceline")
        publish(again, "airqino")
        manifests = {key for key in before if key.endswith("manifest.json")}
        named = {f"{ROOT}/{key}" for key in manifest_of(own.object_store).keys} | manifests
        assert {key: again.object_store.get(key) for key in named} == {
            key: before[key] for key in named
        }
        again.close()

    def test_one_network_does_not_touch_the_files_of_another(self, own: Services) -> None:
        before = manifest_of(own.object_store).files
        changed = daily_frame(FIRST.date(), network="airqino", station="s1", mean=99.0)
        own.warehouse.replace(
            "airqino", DAILY_AVERAGES, changed, (FIRST.date(), FIRST.date() + DAY)
        )
        publish(own, "airqino")
        after = manifest_of(own.object_store).files
        differ = {name for name in before if before[name] != after[name]}
        assert differ == {f"airqino/daily_averages/2024-03.{form}" for form in ("json", "parquet")}

    def test_files_that_no_manifest_names_go_once_they_are_old(self, own: Services) -> None:
        store = own.object_store
        first = manifest_of(store).keys
        new_hour(own)
        publish(own, "airqino")
        unneeded = {f"{ROOT}/{key}" for key in first - manifest_of(store).keys}
        assert unneeded
        now = max(store.modified(ROOT).values())
        young = remove_unneeded(store, own.networks, now - timedelta(hours=1))
        assert young.files_before == young.files_after
        # Of the first publication over all, of one network alone, as well.
        done = remove_unneeded(store, own.networks, now + DAY)
        assert done.files_before - done.files_after >= len(unneeded)
        assert done.size_bytes_after == sum(store.sizes(ROOT).values())
        left = set(store.keys(ROOT))
        assert not left & unneeded
        assert {f"{ROOT}/{key}" for key in manifest_of(store).keys} <= left


def new_hour(services: Services) -> None:
    """Another value of the last hour of s1."""
    hours = int((NOW - FIRST) / timedelta(hours=1))
    pm25 = [10.0 + (n % 7) for n in range(hours - 1)]
    write_hours(services, "airqino", hourly([*pm25, 77.5], FIRST, station="s1"))


class TestSwitching:
    def test_a_new_publication_is_answered_after_the_next_look(self, own: Services) -> None:
        served = Served(own)
        served.look()
        before = served.ask("/v1/latest?station_id=s1&parameter=pm25")
        new_hour(own)
        publish(own, "airqino")
        assert served.ask("/v1/latest?station_id=s1&parameter=pm25").content == before.content
        served.look()
        [row] = served.ask("/v1/latest?station_id=s1&parameter=pm25").json()["data"]
        assert row["value"] == 77.5

    def test_a_damaged_publication_leaves_the_last_whole_one(
        self, own: Services, caplog: pytest.LogCaptureFixture
    ) -> None:
        served = Served(own)
        served.look()
        before = served.ask("/v1/latest").content
        new_hour(own)
        publish(own, "airqino")
        store = own.object_store
        file = f"{ROOT}/{manifest_of(store).files['latest.parquet'].key}"
        whole = {key: store.get(key) for key in (file, manifest_key())}
        for key, damaged in (
            (file, whole[file][:-9]),
            (file, whole[file][:-1] + b"!"),
            (file, None),
            (manifest_key(), b"{"),
            (manifest_key(), None),
        ):
            store.delete(key)
            if damaged is not None:
                store.put(key, damaged)
            served.look()
            served.look()
            assert served.ask("/v1/latest").content == before
            ready = served.ask("/readyz")
            assert ready.status_code == 200
            assert ready.json()["publication"].startswith("damaged")
            store.put(key, whole[key])
        # Each once, however often it is looked at.
        faults = [one.message for one in caplog.records if "publication" in one.message]
        assert len(faults) == len(set(faults)) >= 3
        served.look()
        assert b"77.5" in served.ask("/v1/latest").content
        assert served.ask("/readyz").json()["publication"] == "whole"

    def test_a_reader_follows_one_manifest_to_files_of_one_publication(self, own: Services) -> None:
        """What the manifest of before names is there still when the next one is."""
        store = own.object_store
        before = manifest_of(store)
        new_hour(own)
        publish(own, "airqino")
        assert before != manifest_of(store)
        for file in before.files.values():
            assert store.exists(f"{ROOT}/{file.key}")

    def test_categories_of_past_hours_are_not_said_of_now(
        self, own: Services, clock: list[Any]
    ) -> None:
        served, of_tables = Served(own), Served(own)
        for minutes in (0, 40, 65, 100):
            clock.append(NOW + timedelta(minutes=minutes))
            served.look()
            found, expected = (one.ask("/v1/category?station_id=s1") for one in (served, of_tables))
            assert found.content == expected.content
        clock.append(NOW + timedelta(hours=6))
        served.look()
        assert served.ask("/v1/category?station_id=s1").status_code == 404


class TestHttp:
    def test_a_known_tag_spares_the_body_and_head_has_none(self, kept: Services) -> None:
        served = Served(kept)
        served.look()
        whole = served.ask("/v1/latest")
        for _ in range(2):
            known = served.ask("/v1/latest", if_none_match=whole.headers["etag"])
            assert (known.status_code, known.content) == (304, b"")
            assert known.headers["etag"] == whole.headers["etag"]
            head = served.ask("/v1/latest", method="HEAD")
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == whole.headers["content-length"]
        assert served.ask("/v1/latest", if_none_match='W/"other"').status_code == 200

    def test_who_takes_gzip_gets_the_same_rows(self, kept: Services) -> None:
        served = Served(kept)
        served.look()
        plain = served.ask("/v1/latest", accept_encoding="identity")
        packed = served.ask("/v1/latest", accept_encoding="gzip")
        assert packed.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in plain.headers["vary"]
        assert packed.content == plain.content

    def test_a_refusal_is_not_kept(self, kept: Services) -> None:
        served = Served(kept)
        served.look()
        for _ in range(2):
            assert served.ask("/v1/latest?nothing=1").status_code == 400
            assert served.ask("/v1/category?station_id=none").status_code == 404
            assert served.ask("/v1/latest", method="POST").status_code == 405

    def test_published_files_are_handed_out(self, kept: Services) -> None:
        ask = asker(create_app(kept, ApiSettings()))
        told = ask("/v1/publication")
        assert told.content == kept.object_store.get(manifest_key())
        assert ask("/v1/publication", if_none_match=told.headers["etag"]).status_code == 304
        for file in told.json()["files"].values():
            found = ask(f"/v1/publication/{file['key']}")
            assert found.content == kept.object_store.get(f"{ROOT}/{file['key']}")
            assert "immutable" in found.headers["cache-control"]
            assert found.headers["content-type"] == file["media_type"]
            if file["gzip"]:
                packed = ask(f"/v1/publication/{file['gzip']}")
                assert packed.content == found.content

    @pytest.mark.parametrize(
        "key", ["manifest.json", "../airqino/raw_pulls", "airqino/..%2f..%2fup.json", "a" * 300]
    )
    def test_nothing_else_of_the_store_is(self, kept: Services, key: str) -> None:
        assert asker(create_app(kept, ApiSettings()))(f"/v1/publication/{key}").status_code == 404


def test_many_at_once_make_an_answer_once(kept: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served(kept)
    served.look()
    made: list[object] = []
    from aq_serving.routers import latest

    real = latest._newest

    def newest(*given: Any) -> Any:
        made.append(given)
        return real(*given)

    monkeypatch.setattr(latest, "_newest", newest)

    async def crowd(application: FastAPI) -> list[bytes]:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            answers = await asyncio.gather(
                *(client.get("/v1/latest?parameter=co") for _ in range(9))
            )
            return [answer.content for answer in answers]

    assert len(set(asyncio.run(crowd(served.application)))) == 1
    assert len(made) == 1
