"""The API over S3 and Postgres: it publishes, answers, and notices an older warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aq_resources.publication.manifest import ROOT, manifest_key, read_manifest
from aq_resources.services import Services
from aq_resources.stores.object_store import S3ObjectStore
from aq_resources.warehouse.connection import connect
from aq_serving.app import create_app
from aq_serving.older_warehouse import bring_up_to_date, missing_columns
from aq_serving.settings import ApiSettings
from tests.unit.serving.conftest import NETWORKS, NOW, asker, fill, publish

pytestmark = pytest.mark.server

DAYS = "start=2024-03-01&end=2024-03-11"
INSTANTS = "start=2024-03-01T00:00:00Z&end=2024-03-11T00:00:00Z"
ASKED = (
    "/v1/stations",
    "/v1/latest",
    "/v1/latest.geojson",
    "/v1/category?station_id=s1",
    f"/v1/hourly-readings?{INSTANTS}&limit=500",
    f"/v1/hourly-readings.csv?station_id=s1&{INSTANTS}",
    f"/v1/daily-averages?{DAYS}",
    f"/v1/forecasts?{INSTANTS}",
    f"/v1/scores?{DAYS}",
    f"/v1/gaps?{DAYS}",
    "/v1/exceedances",
)


@pytest.fixture
def production(
    tmp_path: Path, s3_bucket: str, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Services]:
    """The same rows as the embedded stores have, on servers."""
    (tmp_path / "networks.yaml").write_text(NETWORKS, "utf-8")
    monkeypatch.setenv("AQ_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AQ_NETWORKS", str(tmp_path / "networks.yaml"))
    monkeypatch.setenv("AQ_OBJECT_STORE", f"s3://{s3_bucket}/objects")
    monkeypatch.setenv("AQ_WAREHOUSE", f"ducklake:postgres:{postgres_database}")
    found = Services.from_environment(now=lambda: NOW)
    found.warehouse.prepare()
    fill(found)
    yield found
    found.close()


def test_every_answer_is_that_of_the_embedded_stores(
    production: Services, services: Services
) -> None:
    there, here = (asker(create_app(one, ApiSettings())) for one in (production, services))
    for path in ASKED:
        found, expected = there(path), here(path)
        assert found.status_code == 200, (path, found.text)
        assert found.content == expected.content, path
    publish(production, "airqino")
    publish(production, "irceline")
    for path in ASKED:
        assert there(path).content == here(path).content, path
    store = production.object_store
    assert isinstance(store, S3ObjectStore)
    manifest = read_manifest(store.get(manifest_key()), "manifest")
    assert manifest.files.keys() >= {"latest.json", "airqino/daily_averages/2024-03.parquet"}
    # As a web server or CDN before the bucket hands them out.
    for key, kept in ((manifest.files["latest.json"].gzip, "immutable"), ("manifest.json", "5")):
        head = store.client.head_object(Bucket=store.bucket, Key=f"{store.prefix}{ROOT}/{key}")
        assert head["ContentType"] == "application/json"
        assert kept in head["CacheControl"]
    assert head.get("ContentEncoding", "") == ""


@pytest.mark.parametrize("which", ["production", "embedded"])
def test_what_an_upgrade_adds_is_added_at_the_start(
    request: pytest.FixtureRequest,
    which: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if which == "production":
        services = request.getfixturevalue("production")
    else:
        (tmp_path / "networks.yaml").write_text(NETWORKS, "utf-8")
        monkeypatch.setenv("AQ_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("AQ_NETWORKS", str(tmp_path / "networks.yaml"))
        services = Services.from_environment(now=lambda: NOW)
        services.warehouse.prepare()
    assert missing_columns(services) == []
    with closing(connect(services.warehouse.location, read_only=False)) as connection:
        connection.execute("ALTER TABLE airqino.forecasts DROP COLUMN model_day")
    services.close()
    later = Services.from_environment(now=lambda: NOW)
    with closing(later.warehouse):
        assert missing_columns(later) == ["airqino.forecasts.model_day"]
        said: list[str] = []
        bring_up_to_date(later, said.append)
        assert len(said) == 1
        assert "airqino.forecasts.model_day added" in said[0]
        assert missing_columns(later) == []
        bring_up_to_date(later, said.append)
        assert len(said) == 1


def test_no_warehouse_is_made_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AQ_HOME", str(tmp_path / "home"))
    bring_up_to_date(Services.from_environment(), pytest.fail)
    assert not (tmp_path / "home").exists()
