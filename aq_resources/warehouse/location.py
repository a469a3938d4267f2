"""Where the warehouse is: the catalog's address taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aq_resources.failures import PermanentFailure
from aq_resources.http.secrets import keep_secret


@dataclass(frozen=True)
class WarehouseLocation:
    """`url`: `ducklake:sqlite:<path>` or `ducklake:postgres:<libpq string>`.

    `uses_s3`: whether the rows, or the hourly files that views read, are on S3.
    """

    url: str
    data_path: str
    uses_s3: bool = False
    s3_endpoint_url: str | None = None

    @property
    def sqlite_path(self) -> Path | None:
        kind, _, rest = self.url.removeprefix("ducklake:").partition(":")
        return Path(rest) if kind == "sqlite" else None

    @property
    def postgres_parts(self) -> dict[str, str]:
        """The libpq string or address, taken apart."""
        from psycopg2 import ProgrammingError
        from psycopg2.extensions import parse_dsn

        try:
            parts = parse_dsn(self.url.removeprefix("ducklake:postgres:"))
        except ProgrammingError:
            # Its text repeats parts of the string, which holds the password.
            raise PermanentFailure(
                "AQ_WAREHOUSE: what follows ducklake:postgres: is no libpq string. Write "
                "`host=… dbname=… user=… password=…` (quote a value with spaces: 'a b') or "
                "`postgresql://user:password@host/dbname`."
            ) from None
        for name in ("password", "sslpassword"):
            keep_secret(str(parts.get(name, "")))
        return {key: str(value) for key, value in parts.items()}
