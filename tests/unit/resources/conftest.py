"""Both kinds of object store and warehouse, and a sandbox that stands for any network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aq_resources.stores.object_store import LocalObjectStore, ObjectStore, open_object_store
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.warehouse import Warehouse
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from tests.servers.s3 import S3Server


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """An empty object store: a folder, or a prefix of a bucket on a real server."""
    if request.param == "local":
        yield open_object_store(f"file://{tmp_path / 'objects'}")
        return
    bucket = request.getfixturevalue("s3_bucket")
    server: S3Server = request.getfixturevalue("s3")
    opened = open_object_store(f"s3://{bucket}/some/prefix", server.endpoint_url)
    yield opened
    opened.client.close()  # type: ignore[attr-defined]


@pytest.fixture
def local(tmp_path: Path) -> LocalObjectStore:
    """An empty folder as object store."""
    return LocalObjectStore(tmp_path / "objects")


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxConfig()) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_sandbox: RunningSandbox) -> RunningSandbox:
    """A network that answers as it should until told otherwise."""
    _sandbox.reset()
    return _sandbox


@pytest.fixture(params=["sqlite", "postgres"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> WarehouseLocation:
    """An empty place for a warehouse."""
    if request.param == "sqlite":
        return WarehouseLocation(f"ducklake:sqlite:{tmp_path}/lake.sqlite", f"{tmp_path}/rows")
    bucket = request.getfixturevalue("s3_bucket")
    server: S3Server = request.getfixturevalue("s3")
    database = request.getfixturevalue("postgres_database")
    return WarehouseLocation(
        f"ducklake:postgres:{database}", f"s3://{bucket}/rows", True, server.endpoint_url
    )


@pytest.fixture
def open_warehouse() -> Iterator[Callable[[WarehouseLocation], Warehouse]]:
    opened: list[Warehouse] = []

    def open_it(location: WarehouseLocation) -> Warehouse:
        opened.append(Warehouse(location))
        return opened[-1]

    yield open_it
    for warehouse in opened:
        warehouse.close()


@pytest.fixture
def warehouse(
    location: WarehouseLocation, open_warehouse: Callable[[WarehouseLocation], Warehouse]
) -> Warehouse:
    return open_warehouse(location)
