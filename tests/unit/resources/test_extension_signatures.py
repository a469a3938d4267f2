"""The extensions in the wheels are signed, and whoever asks is told where one is not."""

import duckdb
import pytest

from aq_resources.failures import PermanentFailure
from aq_resources.warehouse import connection
from aq_resources.warehouse.names import quoted

# Whole connections of DuckDB's, and a hundred megabytes to hash.
pytestmark = pytest.mark.server


def test_the_extensions_are_signed() -> None:
    connection.refuse_unsigned(["ducklake", "httpfs", "postgres_scanner", "sqlite_scanner"])


def test_a_changed_one_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = bytearray(connection.extension_path("sqlite_scanner").read_bytes())
    changed[len(changed) // 2] ^= 1
    unsigned = tmp_path / "sqlite_scanner.duckdb_extension"
    unsigned.write_bytes(changed)
    with (
        connection.connect_to_nothing() as opened,
        pytest.raises(duckdb.IOException, match="signature"),
    ):
        opened.execute(f"LOAD {quoted(str(unsigned))}")
    monkeypatch.setattr(connection, "extension_path", lambda name: unsigned)
    with pytest.raises(PermanentFailure, match="sqlite_scanner is damaged"):
        connection.refuse_unsigned(["sqlite_scanner"])
