"""What a command may import before it has answered: each package more is time to wait."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.system.integration.harness import Installation
from tests.system.platform.conftest import Loaded

# Prints the installed packages of which the command has imported a module.
LOADED = """
import contextlib, io, sys
from importlib.metadata import packages_distributions
from aq_platform.cli import app

with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    app(sys.argv[1:], prog_name="aq")
print(*{name.partition(".")[0] for name in sys.modules} & set(packages_distributions()))
"""

# The command itself, with what typer and rich import.
COMMAND = {
    "_distutils_hack",
    "aq_platform",
    "aq_resources",
    "typer",
    "shellingham",
    "click",
    "annotated_doc",
    "rich",
    "pygments",
    "markdown_it",
    "mdurl",
    "attr",
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "typing_extensions",
    "typing_inspection",
}
# Settings, and DuckDB with the time zones of its instants.
QUERY = COMMAND | {"aq_science", "pydantic_settings", "dotenv", "duckdb", "pytz", "msgspec"}
# The stores and the networks' clients.
DOCTOR = QUERY | {
    "polars",
    "_polars_runtime_32",
    "_polars_runtime_64",
    "_polars_runtime_compat",
    "numpy",
    "pyarrow",
    "cloudpickle",  # by pyarrow, where MLflow has brought it
    "filelock",
    "tenacity",
    "yaml",
    "zstandard",
    "httpx",
    "httpcore",
    "h11",
    "anyio",
    "sniffio",
    "certifi",
    "idna",
    "tzdata",
}


@pytest.mark.parametrize(
    ("arguments", "budget"),
    [
        pytest.param(["--help"], COMMAND, id="help"),
        pytest.param(["query", "--help"], COMMAND, id="help of a command"),
        pytest.param(["query", "SELECT now(), * FROM air_quality.stations"], QUERY, id="table"),
        pytest.param(["query", "SELECT 1", "--format", "json"], QUERY, id="json"),
        pytest.param(["query", "SELECT 1", "--format", "csv"], QUERY, id="csv"),
        pytest.param(["query", "SELEKT"], QUERY, id="a mistake"),
        pytest.param(["connect"], QUERY, id="connect"),
        pytest.param(["doctor"], DOCTOR, id="doctor"),
    ],
)
def test_a_command_imports_what_it_needs(
    loaded: Loaded, arguments: list[str], budget: set[str]
) -> None:
    imported = packages(loaded.installation, *arguments)
    assert "aq_platform" in imported
    assert imported <= budget, sorted(imported - budget)


def packages(installation: Installation, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        cwd=installation.folder,
        env=installation.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())
