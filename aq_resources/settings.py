"""Settings, from the environment (`AQ_…`) and nowhere else.

A network's own settings (address, credentials) live beside its client. `docs/settings.md` lists
every variable; a test holds that table against these classes.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from aq_resources.failures import SettingsError
from aq_resources.http.secrets import keep_secret
from aq_science.indices.us_epa_tables import AqiTable
from aq_science.units import EU_REFERENCE_C

_S3_ADDRESS = re.compile(r"s3://[A-Za-z0-9._-]+(/[^?#*\[\]\\]*)?")
# Three slashes are a path below the working folder, which differs from one process to another.
_SQLITE_FILE = re.compile(r"sqlite:////[^?#%]+")
_HOST_NAME = re.compile(r"[\w.-]+")
# A user name or a password in an address; a password may hold what would end the host's part.
_LOGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://([^/?#\s]*@|[^/?#@\[]*:(?!\d+([/?#]|$)).*@)", re.IGNORECASE
)


def _sendable(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value().strip()
    if not (value.isascii() and value.isprintable()):
        raise ValueError("holds characters that no key has: copy it again")
    return SecretStr(value)


# A key or token as it can be sent: one that cannot would stand in the error that says so.
Credential = Annotated[SecretStr, AfterValidator(_sendable)]


class EnvironmentSettings(BaseSettings):
    """Base of every settings class: a bad value becomes one readable error, a secret stays one.

    An address is shown in messages, logs and raw pulls, so it may have no login in it; `login` says
    where that belongs.
    """

    login: ClassVar[str] = ""

    def __init__(self) -> None:
        try:
            super().__init__()
        except ValidationError as error:
            prefix = self.model_config.get("env_prefix", "")
            lines = [
                f"{prefix}{'_'.join(str(part) for part in e['loc'])}".upper() + f": {e['msg']}"
                for e in error.errors()
            ]
            raise SettingsError(
                "A setting in the environment is wrong.\n  " + "\n  ".join(lines)
            ) from None
        for value in self.__dict__.values():
            if isinstance(value, SecretStr):
                keep_secret(value.get_secret_value())

    @field_validator("*", mode="before")
    @classmethod
    def _no_login(cls, value: object, info: ValidationInfo) -> object:
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, str) and "SecretStr" not in str(kind) and _LOGIN.match(value.strip()):
            raise ValueError(f"has a user name or password in it: take it out. {cls.login}".strip())
        return value


class Settings(EnvironmentSettings):
    """Where things are kept and how the work is done."""

    model_config = SettingsConfigDict(env_prefix="AQ_", env_ignore_empty=True)
    login = (
        "S3's keys are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, MLflow's login is "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
    )

    home: Path = Field(Path(".aq"), description="Folder of everything the embedded default writes")
    object_store: str = Field(
        "", description="`file:///…` or `s3://bucket/prefix`; default `<AQ_HOME>/objects`"
    )
    s3_endpoint_url: str | None = Field(
        None, description="Endpoint of an S3-compatible server; default AWS"
    )
    warehouse: str = Field(
        "",
        description="`ducklake:sqlite:<path>` or `ducklake:postgres:<libpq string>`; "
        "default `ducklake:sqlite:<AQ_HOME>/warehouse.sqlite`",
    )
    warehouse_data: str = Field(
        "",
        description="Where the warehouse keeps its Parquet (folder or `s3://…`); default beside a "
        "SQLite catalog, on the object store's S3 for a Postgres one",
    )
    networks: Path | None = Field(
        None, description="Path of the networks file; default `networks.yaml`"
    )
    http_timeout_seconds: float = Field(
        30.0,
        gt=0,
        description="Time-out of one request; it ends with all its tries after twenty times as "
        "long",
    )
    http_attempts: int = Field(5, ge=1, description="Tries at one request before it fails")
    http_concurrency: int = Field(4, ge=1, description="Requests under way at once to a network")
    patience_seconds: float = Field(
        90.0, ge=0, description="How long a write that S3 or Postgres cannot take is tried again"
    )
    chunk_days: int = Field(
        31, ge=1, description="Days worked on at once in a long range: bounds memory"
    )
    daily_day: Literal["civil", "standard"] = Field(
        "civil", description="Daily averages by local `civil` or local `standard` time"
    )
    gas_reference_celsius: float = Field(
        EU_REFERENCE_C, description="Reference for ppm to µg/m³: 20 (EU) or 25 (US EPA)"
    )
    aqi_table: AqiTable = Field(
        "2024", description="US EPA index by the table of `2024` or by the one in force, `by_date`"
    )
    forecast_models_until: date | None = Field(
        None, description="Forecast with the models of this day and before: a roll-back"
    )

    sensors: bool = Field(
        default=True, description="Whether sensors and schedules start switched on"
    )
    # AirQo publishes an hour up to two and a half hours after it began.
    look_back_hours: int = Field(
        6, ge=3, description="An hourly refresh also pulls the UTC day of this many hours ago"
    )
    revisit_days: Annotated[tuple[int, ...], NoDecode] = Field(
        (1, 3, 7, 30), description="Days after a day's end at which it is pulled again"
    )
    late_days_per_tick: int = Field(
        10, ge=1, description="Days that `late_data` asks for at once, by network"
    )
    keep_snapshot_days: int = Field(
        7, ge=1, description="Days for which the warehouse can be read as it was"
    )
    keep_publication_hours: int = Field(
        24, ge=1, description="Hours for which published files that were replaced are kept"
    )
    keep_history_days: int = Field(
        30, ge=1, description="Days for which finished runs and their events are kept"
    )
    ui_url: str = Field("", description="Address of the UI, for the links in alerts")
    ui_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names under which the UI may be asked, with commas between; those of loopback "
        "and of `AQ_UI_URL` are known",
    )
    mlflow_tracking_uri: str = Field(
        "",
        description="Where MLflow records fits of models: `sqlite:////path/mlflow.db` or "
        "`http(s)://…`; default nowhere",
    )
    clock: str = Field(
        "", description="Simulated time, as `aq sandbox --speed` prints it; default the real one"
    )

    @field_validator("revisit_days", mode="before")
    @classmethod
    def _days(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            days = sorted({int(part) for part in value.split(",") if part.strip()})
        except ValueError:
            raise ValueError(f"must be days such as 1,3,7,30, not {value!r}") from None
        if days and days[0] < 1:
            raise ValueError("days count from 1, the day after")
        return tuple(days)

    @field_validator("ui_hosts", mode="before")
    @classmethod
    def _host_names(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(part.strip().casefold() for part in value.split(",") if part.strip())
        for name in names:
            if not _HOST_NAME.fullmatch(name):
                raise ValueError(
                    f"must be names such as air.example.org, without scheme, port or *, not "
                    f"{name.rpartition('@')[2]}"
                )
        return names

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        home = value.expanduser().absolute()
        # Dagster puts it into the address of its database as it is, DuckDB into a pattern of files.
        if odd := sorted(set("?#%*[]") & set(str(home))):
            raise ValueError(
                f"{home} has {' '.join(odd)} in it, which the databases below it cannot have in "
                "their path: choose another folder (blanks, quotes and accents do no harm)"
            )
        return home

    @field_validator("object_store")
    @classmethod
    def _known_store(cls, value: str) -> str:
        if value and not value.startswith(("file://", "s3://")):
            raise ValueError(f"must start with file:// or s3://, not {value!r}")
        if value.startswith("file://") and not value.startswith("file:///"):
            raise ValueError(
                f"has no machine's name in it: write file:///{value[7:]} with the whole path"
            )
        if value.startswith("file://") and set("*?[]") & set(value):
            raise ValueError("must be a folder without *, ?, [ or ] in its path")
        if value.startswith("s3://") and not _S3_ADDRESS.fullmatch(value):
            raise ValueError("must be s3://bucket/prefix, without ?, #, *, [ or ]")
        return value.rstrip("/")

    @field_validator("mlflow_tracking_uri")
    @classmethod
    def _known_record(cls, value: str) -> str:
        if value and not (
            value.startswith(("http://", "https://")) or _SQLITE_FILE.fullmatch(value)
        ):
            raise ValueError(
                "must be sqlite:/// and the whole path of a file (four slashes, without ?, # or "
                f"%), or http://, https:// and a server, not {value!r}"
            )
        return value.rstrip("/")

    # Before the search for a login, which belongs in a libpq string.
    @field_validator("warehouse", mode="before")
    @classmethod
    def _known_warehouse(cls, value: object) -> object:
        if (
            isinstance(value, str)
            and value
            and not value.startswith(("ducklake:sqlite:", "ducklake:postgres:"))
        ):
            raise ValueError("must start with ducklake:sqlite: or ducklake:postgres:")
        return value

    @property
    def known_ui_hosts(self) -> tuple[str, ...]:
        """Names under which the UI may be asked, beside those of loopback."""
        return (*self.ui_hosts, urlsplit(self.ui_url).hostname or "")

    @property
    def object_store_url(self) -> str:
        return self.object_store or (self.home / "objects").as_uri()

    @property
    def on_s3(self) -> bool:
        """Whether the object store is S3 rather than a folder."""
        return self.object_store_url.startswith("s3://")

    @property
    def warehouse_url(self) -> str:
        return self.warehouse or f"ducklake:sqlite:{self.home / 'warehouse.sqlite'}"

    @property
    def warehouse_data_path(self) -> str:
        if self.warehouse_data:
            return self.warehouse_data
        if self.warehouse_url.startswith("ducklake:sqlite:"):
            catalog = Path(self.warehouse_url.removeprefix("ducklake:sqlite:"))
            return str(catalog.absolute().parent / "warehouse")
        # Several machines share a Postgres catalog; an object store on S3 is shared as well.
        if self.on_s3:
            return f"{self.object_store}/warehouse"
        return str(self.home / "warehouse")

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"
