"""No credential of any network, store or alert is left in anything that is kept or shown."""

from __future__ import annotations

import base64
import gzip
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args
from urllib.parse import quote

import polars as pl
import psycopg2  # type: ignore[import-untyped,unused-ignore]
import pytest
import yaml
import zstandard
from psycopg2 import sql
from pydantic import SecretStr

from aq_resources.alert_channels import AlertSettings
from aq_resources.networks import known_networks, network_is_pushed, settings_class
from aq_resources.project import PROJECT_ROOT
from aq_resources.settings import EnvironmentSettings
from aq_sandbox.server import SandboxConfig, running_sandbox
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server
from tests.servers.sinks import mail_sink, webhook_sink
from tests.system.integration.gate import FAULTS, Gate, gate_before
from tests.system.integration.harness import Installation
from tests.system.integration.leaks import PACKED, as_bytes, found_in, leaks
from tests.system.platform.conftest import days_ago

# Days that come by the download and the archive, and days that do not.
FIRST, LAST = days_ago(9), days_ago(8)


def secret_variables(settings: type[EnvironmentSettings]) -> list[str]:
    """The variables of a settings class that hold secrets."""
    prefix = str(settings.model_config.get("env_prefix", ""))
    return [
        f"{prefix}{name}".upper()
        for name, field in settings.model_fields.items()
        if SecretStr in types(field.annotation)
    ]


def types(annotation: object) -> set[object]:
    """An annotation and all that it is made of."""
    return {annotation}.union(*(types(part) for part in get_args(annotation)))


def mark(variable: str) -> str:
    """A secret of our own, with the characters that addresses, forms and JSON spell otherwise."""
    return f"MARK+{variable}/=&% 7"


# Devices push: no server of theirs is asked, with no credentials.
ASKED = [name for name in known_networks() if not network_is_pushed(name)]


def entries() -> dict[str, dict[str, object]]:
    """The project's own networks that are asked, all enabled."""
    networks = yaml.safe_load((PROJECT_ROOT / "networks.yaml").read_text("utf-8"))["networks"]
    return {
        name: {**entry, "enabled": True, "start_date": str(entry["start_date"])}
        for name, entry in networks.items()
        if name in ASKED
    }


@dataclass
class Marked:
    """An installation with marked credentials behind a gate, and all that it said."""

    installation: Installation
    gate: Gate
    marks: dict[str, str]
    said: dict[str, str] = field(default_factory=dict)
    # Faults that every network has met.
    met: set[str] = field(default_factory=set)

    def run(self, *arguments: str) -> str:
        done = self.installation.run(*arguments)
        assert "Traceback" not in done.stderr, done.stderr
        shown = f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        self.said[f"{self.gate.fault or 'healthy'}: aq {arguments[0]}"] = shown
        return shown

    @property
    def every_mark(self) -> dict[str, str]:
        """The marks, and the tokens that were given for them."""
        return {**self.marks, **{f"token {token[:4]}…": token for token in self.gate.tokens}}

    def strike(self, fault: str) -> None:
        """A backfill and an examination while every network has the fault."""
        self.gate.fault = fault
        try:
            said = [
                self.run("backfill", "--start", FIRST, "--end", days_ago(1)),
                self.run("doctor"),
            ]
            if fault == "refused":
                said.append(self.run("refresh"))
        finally:
            self.gate.fault = ""
        # It struck every network, and was told of.
        assert {text[:1] for text in said} == {"1"}, said
        for network in ASKED:
            assert f"✗ {network}: stations" in said[1], said[1]
        self.met.add(fault)

    def leaks(self) -> list[str]:
        """Where a mark is: in what was shown, in a file, in Dagster's records, in a table."""
        marks = self.every_mark
        found = leaks(self.installation.home, marks)
        texts = dict(self.said)
        with self.installation.instance() as instance:
            for run in instance.get_runs():
                events = [str(entry) for entry in instance.all_logs(run.run_id)]
                assert events
                texts[f"run {run.run_id}"] = f"{run.tags} {run.run_config} {events}"
        with self.installation.reader() as lake:
            tables = lake.execute(
                "SELECT table_schema, table_name FROM information_schema.tables "
                "WHERE table_catalog = 'lake'"
            ).fetchall()
            for schema, table in tables:
                rows = lake.execute(f'SELECT * FROM lake."{schema}"."{table}"').fetchall()
                texts[f"table {schema}.{table}"] = repr(rows)
        found += [f"{w}: {m}" for w, text in texts.items() for m in found_in(text.encode(), marks)]
        return found


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Marked]:
    """Every network has loaded two old days and the newest hours."""
    variables = [v for network in ASKED for v in secret_variables(settings_class(network))]
    marks = {variable: mark(variable) for variable in variables}
    with running_sandbox(SandboxConfig(stations=4, auth=True)) as sandbox:
        given = sandbox.environment
        wanted = {value: given.get(variable, value) for variable, value in marks.items()}
        with gate_before(sandbox, wanted) as gate:
            installation = (
                Installation(tmp_path_factory.mktemp("marked"))
                .with_networks(**entries())
                .with_settings(**{k: v.replace(sandbox.url, gate.url) for k, v in given.items()})
                .with_settings(
                    **marks,
                    AQ_HTTP_ATTEMPTS="1",
                    # The limit is AirQo's, and what a fault answers counts for the platform alone.
                    AQ_AIRQO_HISTORICAL_PER_MINUTE="1000",
                )
            )
            found = Marked(installation, gate, marks)
            found.run("backfill", "--start", FIRST, "--end", LAST)
            found.run("refresh")
            found.run("doctor")
            yield found


def test_every_network_works_with_marked_credentials(marked: Marked) -> None:
    assert set(entries()) == set(ASKED)
    assert {name: text[:1] for name, text in marked.said.items()} == {
        f"healthy: aq {command}": "0" for command in ("backfill", "refresh", "doctor")
    }, marked.said
    # Else nothing is shown: each secret was sent, and each network has readings.
    assert marked.gate.arrived == set(marked.marks.values())
    assert marked.gate.tokens
    rows = marked.installation.query(
        "SELECT network, count(*) AS n FROM air_quality.hourly_readings GROUP BY network"
    )
    assert {row["network"] for row in rows} == set(ASKED)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_strikes_every_network_and_is_told(marked: Marked, fault: str) -> None:
    marked.strike(fault)
    if fault == "redirect":
        assert marked.gate.leaked
        assert found_in(b"\n".join(marked.gate.leaked), marked.every_mark) == set()


def test_neither_work_nor_a_fault_leaves_a_credential_anywhere(marked: Marked) -> None:
    for fault in set(FAULTS) - marked.met:
        marked.strike(fault)
    # Once for all of them: it reads everything that is there.
    assert marked.leaks() == []


def test_alerts_keep_their_address_and_password(marked: Marked, tmp_path: Path) -> None:
    secrets = {name: mark(name) for name in secret_variables(AlertSettings)}
    assert set(secrets) == {"AQ_ALERT_WEBHOOK", "AQ_ALERT_SMTP_PASSWORD"}
    with webhook_sink() as hook, mail_sink() as mail:
        path = "/MARK-of-the-webhook"
        marks = {**secrets, "AQ_ALERT_WEBHOOK": path}
        # A home of its own, since the search reads all that is there.
        installation = (
            Installation(tmp_path, marked.installation.settings)
            .with_networks(airqino=entries()["airqino"])
            .with_settings(
                AQ_ALERT_WEBHOOK=hook.url(path),
                AQ_ALERT_EMAIL_TO="ana@example.org",
                AQ_ALERT_SMTP_HOST="127.0.0.1",
                AQ_ALERT_SMTP_PORT=str(mail.port),
                AQ_ALERT_SMTP_USERNAME="ana",
                AQ_ALERT_SMTP_PASSWORD=secrets["AQ_ALERT_SMTP_PASSWORD"],
            )
        )
        asked = Marked(installation, marked.gate, marks)
        # The search looks into Dagster's databases, which `aq doctor` does not make.
        asked.run("prepare")
        assert "STARTTLS" in asked.run("doctor", "--send-test-alert")
        assert hook.posted
        hook.status = 500
        assert "webhook answered 500" in asked.run("doctor", "--send-test-alert")
        assert asked.leaks() == []


def test_the_keys_of_the_stores_are_kept_in_none_of_them(
    marked: Marked, s3: S3Server, postgres: PostgresServer, tmp_path: Path
) -> None:
    bucket = s3.create_bucket("secrets")
    databases = [postgres.create_database(name) for name in ("secrets_dagster", "secrets_lake")]
    settings = {k: v for k, v in marked.installation.settings.items() if k != "AQ_NETWORKS"}
    installation = (
        Installation(tmp_path / "production", settings)
        .with_networks(airqino=entries()["airqino"])
        .in_production(s3, bucket, databases[0], databases[1], "dagster.yaml")
    )
    marks = {**marked.marks, "S3's key": s3.secret_key, "Postgres' password": postgres.password}
    asked = Marked(installation, marked.gate, marks)
    for arguments in (("backfill", "--start", LAST, "--end", LAST), ("refresh",), ("doctor",)):
        assert asked.run(*arguments).startswith("0"), asked.said
    wrong = asked.installation.with_settings(AWS_SECRET_ACCESS_KEY=mark("wrong"))
    asked = Marked(wrong, marked.gate, {**marks, "wrong": mark("wrong")}, asked.said)
    assert asked.run("refresh").startswith("1")
    gone = installation.with_settings(
        AQ_WAREHOUSE=f"ducklake:postgres:host=127.0.0.1 port=9 user=x password={mark('gone')[:8]}"
    )
    asked = Marked(gone, marked.gate, {**marks, "gone": mark("gone")[:8]}, asked.said)
    assert asked.run("doctor").startswith("1")
    found = {where: text.encode() for where, text in asked.said.items()}
    found |= objects(s3, bucket)
    for database in databases:
        found |= rows(database)
    kept = {name.partition(" ")[0] for name in found}
    assert {"object", "secrets_dagster", "secrets_lake"} <= kept
    assert [(where, found_in(data, asked.marks)) for where, data in found.items()] == [
        (where, set()) for where in found
    ]
    assert leaks(installation.home, asked.marks) == []


def objects(s3: S3Server, bucket: str) -> dict[str, bytes]:
    """Every object of a bucket."""
    with closing(s3.client()) as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return {
            f"object {key}": client.get_object(Bucket=bucket, Key=key)["Body"].read()
            for key in keys
        }


def rows(database: str) -> dict[str, bytes]:
    """Every row of every table of a Postgres database."""
    found: dict[str, bytes] = {}
    name = database.rpartition("/")[2]
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
            values = [
                bytes(value) if isinstance(value, memoryview) else as_bytes(value)
                for row in cursor.fetchall()
                for value in row
            ]
            packed = [data for data in values if data.startswith(PACKED)]
            found |= {f"{name} {table} {number}": data for number, data in enumerate(packed)}
            # Together, as the search in a file does.
            found[f"{name} {table}"] = b"\0".join(x for x in values if not x.startswith(PACKED))
    return found


# ------------------------------------------------------------------------ the search itself


SECRET = {"secret": mark("planted")}


def plain(path: Path, text: bytes) -> None:
    path.write_bytes(b"before " + text + b" after")


def in_sqlite(path: Path, text: bytes) -> None:
    # Longer than a page, so that no page holds it whole; packed, as Dagster keeps snapshots.
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE kept (body BLOB)")
        database.execute("INSERT INTO kept VALUES (?)", [zlib.compress(b"." * 4090 + text)])


def in_parquet(path: Path, text: bytes) -> None:
    pl.DataFrame({"value": [text.decode()] * 9}).write_parquet(path, compression="zstd")


def in_zstd(path: Path, text: bytes) -> None:
    frames = (b"first frame", b"second frame " + text)
    path.write_bytes(b"".join(zstandard.compress(frame) for frame in frames))


def in_gzip(path: Path, text: bytes) -> None:
    path.write_bytes(gzip.compress(b"packed " + text))


@pytest.mark.parametrize("plant", [plain, in_sqlite, in_parquet, in_zstd, in_gzip])
@pytest.mark.parametrize("spelling", ["plain", "address", "base64", "base64 with a name"])
def test_the_search_finds_what_is_planted(
    tmp_path: Path, plant: Callable[[Path, bytes], None], spelling: str
) -> None:
    secret = SECRET["secret"].encode()
    text = {
        "plain": secret,
        "address": quote(secret, safe="").encode(),
        "base64": base64.b64encode(secret),
        "base64 with a name": base64.b64encode(b"user:" + secret + b"!"),
    }[spelling]
    (tmp_path / "below").mkdir()
    plant(tmp_path / "below" / "file", text)
    assert leaks(tmp_path, SECRET)
    assert leaks(tmp_path, {"another": mark("another")}) == []
