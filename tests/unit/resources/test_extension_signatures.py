"""The extensions in the wheels are signed; the other tests take it for granted."""

import duckdb
import pytest

from aq_resources.warehouse import connection
from tests import signatures


@pytest.mark.parametrize("name", ["ducklake", "httpfs", "postgres_scanner", "sqlite_scanner"])
def test_an_extension_is_signed(name: str) -> None:
    with signatures.checked_connect(":memory:") as checked:
        checked.execute(f"LOAD '{connection.extension_path(name)}'")


def test_an_unsigned_one_would_be_told(tmp_path) -> None:
    changed = bytearray(connection.extension_path("sqlite_scanner").read_bytes())
    changed[len(changed) // 2] ^= 1
    unsigned = tmp_path / "sqlite_scanner.duckdb_extension"
    unsigned.write_bytes(changed)
    with (
        signatures.checked_connect(":memory:") as checked,
        pytest.raises(duckdb.IOException, match="signature"),
    ):
        checked.execute(f"LOAD '{unsigned}'")
