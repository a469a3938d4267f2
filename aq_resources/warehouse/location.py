"""Where the warehouse is: the catalog's address taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from aq_resources.failures import PermanentFailure
from aq_resources.http.secrets import keep_secret
from aq_resources.settings import Settings


@dataclass(frozen=True)
class WarehouseLocation:
    """`url`: `ducklake:sqlite:<path>` or `ducklake:postgres:<libpq string>`.

    `uses_s3`: whether the rows, or the hourly files that views read, are on S3.
    """

    url: str
    data_path: str
    uses_s3: bool = False
    s3_endpoint_url: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say."""
        data_path = settings.warehouse_data_path
        return cls(
            settings.warehouse_url,
            data_path,
            data_path.startswith("s3://") or settings.on_s3,
            settings.s3_endpoint_url,
        )

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
