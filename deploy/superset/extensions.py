"""Lay DuckDB's extensions out as DuckDB looks for them, from the wheels beside this Python.

    python extensions.py FOLDER     # then "extension_directory": "FOLDER" in the connection

DuckDB would download them otherwise, from its own server. Run again after every upgrade.
"""

import importlib.util
import shutil
import sys
from pathlib import Path

import duckdb

NAMES = ("ducklake", "sqlite_scanner", "postgres_scanner", "httpfs")


def main() -> None:
    """Copy each to FOLDER/<version>/<platform>."""
    version, platform = f"v{duckdb.__version__}", duckdb.execute("PRAGMA platform").fetchall()[0][0]
    folder = Path(sys.argv[1]) / version / platform
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        found = importlib.util.find_spec(f"duckdb_extension_{name}")
        if found is None or found.origin is None:
            sys.exit(f"The package duckdb-extension-{name.replace('_', '-')} is not installed.")
        file = Path("extensions", version, f"{name}.duckdb_extension")
        shutil.copy(Path(found.origin).parent / file, folder)


if __name__ == "__main__":
    main()
