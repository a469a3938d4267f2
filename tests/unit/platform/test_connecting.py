"""What `aq connect` prints is run as it stands, by a process that knows nothing of the platform."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from aq_platform.cli import Language
from aq_platform.connecting import WRITERS, connection_lines
from aq_resources.warehouse.connection import extension_path
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.warehouse import Warehouse
from aq_science.tables.daily_averages import DAILY_AVERAGES
from tests.factories import daily_frame
from tests.servers.s3 import S3Server

DAY = date(2024, 3, 1)
PASSWORD = "s3cret word"
NOWHERE = WarehouseLocation(
    f"ducklake:postgres:host=db.example.org port=5433 dbname='air quality' user=reader "
    f"password='{PASSWORD}' sslpassword='{PASSWORD}' sslmode=require",
    "s3://air/rows",
    True,
    "https://s3.example.org:9000/",
)


def test_the_command_offers_what_there_is() -> None:
    assert [language.value for language in Language] == list(WRITERS)


@pytest.mark.parametrize("language", WRITERS)
@pytest.mark.parametrize("offline", [True, False])
def test_no_form_holds_a_secret_and_each_says_where_it_goes(language: str, offline: bool) -> None:
    text = "\n".join(connection_lines(NOWHERE, language, offline=offline))
    assert PASSWORD not in text
    for variable in ("PGPASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        assert variable in text


def statements_of(language: str, text: str) -> list[str]:
    """The SQL within a program."""
    if language == "r":
        return re.findall(r'r"---\((.*)\)---"', text)
    if language == "jdbc":
        strings = re.findall(r'statement\.execute\(("(?:[^"\\]|\\.)*")\)', text)
        # Java's escapes are Python's here.
        return [ast.literal_eval(one) for one in strings]
    if language == "python":
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        return [
            ast.literal_eval(call.args[0])
            for call in calls
            if isinstance(call.func, ast.Attribute) and call.func.attr == "execute"
        ]
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [line.removesuffix(";") for line in lines[:-1]]


@pytest.mark.parametrize("offline", [True, False])
def test_every_language_has_the_same_statements(offline: bool) -> None:
    odd = WarehouseLocation('ducklake:sqlite:/srv/o\'neil "air"\\/lake.sqlite', "/srv/rows")
    for location in (NOWHERE, odd):
        found = [
            statements_of(
                language, "\n".join(connection_lines(location, language, offline=offline))
            )
            for language in ("sql", "python", "r", "jdbc")
        ]
        assert len(found[0]) > 4
        assert found == [found[0]] * 4


def test_people_are_told_of_every_language() -> None:
    text = "\n".join(connection_lines(NOWHERE, "text", offline=False))
    for word in ("duckdb -init", "--format python", "--format r", "--format jdbc", "DBeaver"):
        assert word in text


# What runs in a process of its own


@pytest.fixture
def location(request: pytest.FixtureRequest, tmp_path: Path) -> WarehouseLocation:
    if request.param == "sqlite":
        folder = tmp_path / "o'neil"
        folder.mkdir()
        return WarehouseLocation(f"ducklake:sqlite:{folder}/lake.sqlite", f"{folder}/rows")
    bucket = request.getfixturevalue("s3_bucket")
    server: S3Server = request.getfixturevalue("s3")
    database = request.getfixturevalue("postgres_database")
    return WarehouseLocation(
        f"ducklake:postgres:{database}", f"s3://{bucket}/rows", True, server.endpoint_url
    )


@pytest.fixture
def filled(location: WarehouseLocation) -> Iterator[WarehouseLocation]:
    with closing(Warehouse(location)) as warehouse:
        warehouse.replace(
            "airqino", DAILY_AVERAGES, daily_frame(DAY), (DAY, DAY + timedelta(days=1))
        )
        yield location


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with DuckDB's extensions, as INSTALL leaves it."""
    folder = tmp_path_factory.mktemp("home")
    with closing(duckdb.connect()) as connection:
        connection.execute(f"SET extension_directory = '{folder}/.duckdb/extensions'")
        for name in ("ducklake", "sqlite_scanner", "postgres_scanner", "httpfs"):
            connection.execute(f"INSTALL '{extension_path(name)}'")
    return folder


@pytest.fixture
def run(tmp_path: Path, home: Path, s3_variables: dict[str, str]) -> Callable[..., str]:
    """Runs Python where nothing is set but a home, and the keys where they are needed."""

    def call(program: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"HOME": str(home), **s3_variables, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


@pytest.fixture
def s3_variables(request: pytest.FixtureRequest) -> dict[str, str]:
    """The keys, where the test is of a location on S3."""
    if "s3" not in request.node.callspec.id:
        return {}
    server: S3Server = request.getfixturevalue("s3")
    return dict(server.environment)


# Plain DuckDB over standard input, as its own shell reads a file.
SHELL = """
import duckdb, pathlib
warehouse = duckdb.connect()
for statement in warehouse.extract_statements(pathlib.Path("warehouse.sql").read_text()):
    rows = warehouse.execute(statement)
print(len(rows.fetchall()), "rows")
"""


@pytest.mark.server
@pytest.mark.parametrize(
    ("location", "offline"),
    [
        pytest.param("sqlite", True, id="sqlite"),
        pytest.param("postgres", False, id="postgres and s3"),
    ],
    indirect=["location"],
)
def test_python_runs_what_is_printed(
    filled: WarehouseLocation, run: Callable[..., str], offline: bool
) -> None:
    program = "\n".join(connection_lines(filled, "python", offline=offline))
    for frame in ("rows.pl()", "rows.df()", "rows.arrow().read_all()"):
        program += f"\nprint('length', len({frame}))"
    said = run(program, **password_of(filled))
    assert "2024-03-01" in said
    assert said.count("length 1\n") == 3


@pytest.mark.server
@pytest.mark.parametrize(
    ("location", "offline"),
    [
        pytest.param("sqlite", False, id="sqlite"),
        pytest.param("postgres", True, id="postgres and s3"),
    ],
    indirect=["location"],
)
def test_duckdb_runs_the_sql(
    filled: WarehouseLocation, run: Callable[..., str], offline: bool, tmp_path: Path
) -> None:
    sql = "\n".join(connection_lines(filled, "sql", offline=offline))
    (tmp_path / "warehouse.sql").write_text(sql)
    assert run(SHELL, **password_of(filled)).endswith("1 rows\n")


def password_of(location: WarehouseLocation) -> dict[str, str]:
    if location.sqlite_path is not None:
        return {}
    return {"PGPASSWORD": location.postgres_parts.get("password", "")}


# Opens, reads and closes; each time all rows, which are of one write.
READER = """
import duckdb, pathlib
statements = pathlib.Path("warehouse.sql").read_text()
for turn in range(4):
    with duckdb.connect() as warehouse:
        warehouse.execute(statements)
        found = warehouse.execute(
            "SELECT count(*), count(DISTINCT mean) FROM airqino.daily_averages"
        ).fetchone()
        assert found == (50, 1), found
print("whole")
"""


@pytest.mark.server
@pytest.mark.parametrize("location", ["sqlite"], indirect=True)
def test_who_reads_and_who_writes_do_not_disturb_each_other(
    location: WarehouseLocation, run: Callable[..., str], tmp_path: Path
) -> None:
    sql = "\n".join(connection_lines(location, "sql", offline=True))
    (tmp_path / "warehouse.sql").write_text(sql)
    stations = [f"s{number}" for number in range(50)]
    window = (DAY, DAY + timedelta(days=1))
    with closing(Warehouse(location)) as warehouse, ThreadPoolExecutor(1) as pool:

        def write(mean: float) -> None:
            frames = [daily_frame(DAY, station=station) for station in stations]
            rows = pl.concat(frames).with_columns(mean=pl.lit(mean))
            warehouse.replace("airqino", DAILY_AVERAGES, rows, window)

        write(0.0)
        reading = pool.submit(run, READER)
        writes = 0
        while not reading.done():
            writes += 1
            write(float(writes))
        assert reading.result().endswith("whole\n")
        assert writes > 1
