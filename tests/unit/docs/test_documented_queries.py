"""Every query of the documents runs on a new installation: tables and views are there, empty."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from aq_resources.networks import known_networks
from aq_resources.services import warehouse_tables
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.reading import check_select, confine
from aq_resources.warehouse.warehouse import Warehouse

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def queries() -> Iterator[tuple[str, str]]:
    """Document and SQL, of `aq query` in a shell and of blocks of SQL."""
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        blocks = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
        shown = re.findall(r'aq query (?:--\w+ \w+ )?"([^"]+)"', text, re.DOTALL)
        for sql in [*blocks, *shown]:
            # What reads files of the object store has its own test, with files.
            if re.match(r"\s*(SELECT|WITH|FROM)\b", sql) and "read_" not in sql:
                yield document.name, sql


@pytest.fixture(scope="module")
def new_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    folder = tmp_path_factory.mktemp("new")
    networks = {name: warehouse_tables(name) for name in known_networks()}
    location = WarehouseLocation(f"ducklake:sqlite:{folder}/lake.sqlite", f"{folder}/rows")
    with closing(Warehouse(location, networks=networks)) as warehouse:
        warehouse.prepare()
        with closing(warehouse.connect_read_only()) as connection:
            confine(connection, [])
            yield connection


def test_there_are_queries_in_the_documents() -> None:
    assert {"README.md"} <= {document for document, _ in queries()}
    assert len(list(queries())) >= 4


@pytest.mark.parametrize(("document", "sql"), list(queries()))
def test_it_runs_and_finds_nothing(
    new_warehouse: duckdb.DuckDBPyConnection, document: str, sql: str
) -> None:
    check_select(new_warehouse, sql)
    assert new_warehouse.execute(sql).fetchall() == []
