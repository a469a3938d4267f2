"""`aq doctor`: every line says what was looked at, and what to mend where something is wrong."""

from __future__ import annotations

import os

import pytest

from aq_sandbox.server import RunningSandbox
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server
from tests.servers.sinks import webhook_sink
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import STATIONS, Invoke, Loaded, days_ago

CHECKS = (
    "settings",
    "networks",
    "home",
    "object store",
    "warehouse",
    "extensions of DuckDB",
    "Dagster instance",
    "alerts",
    "airqino: clock",
    "airqino: stations",
    "airqino: readings",
)


def lines(output: str) -> dict[str, tuple[str, str]]:
    """What was looked at -> (mark, detail)."""
    found = {}
    for line in output.splitlines():
        mark, _, rest = line.partition(" ")
        if mark in ("✓", "✗"):
            name = next(check for check in CHECKS if rest.startswith(f"{check}: "))
            found[name] = (mark, rest.removeprefix(f"{name}: "))
        else:
            # Another server's message goes on over several lines.
            found[name] = (found[name][0], f"{found[name][1]}\n{line}")
    return found


def sick(output: str) -> dict[str, str]:
    return {name: detail for name, (mark, detail) in lines(output).items() if mark == "✗"}


def test_a_healthy_installation(fresh: Installation, invoke: Invoke) -> None:
    result = invoke(fresh, "doctor")
    assert result.exit_code == 0, result.output
    found = lines(result.stdout)
    assert tuple(found) == CHECKS
    assert {mark for mark, _ in found.values()} == {"✓"}
    assert str(fresh.home) in found["settings"][1]
    assert found["networks"][1] == "airqino"
    assert found["airqino: stations"][1] == "2 described"
    assert found["airqino: readings"][1].startswith("newest hour 20")
    # It leaves no probe behind.
    assert not [path for path in (fresh.home / "objects").rglob("*") if path.is_file()]


def test_a_healthy_installation_on_s3_and_postgres(
    fresh: Installation, s3: S3Server, postgres: PostgresServer, invoke: Invoke
) -> None:
    bucket = s3.create_bucket("doctor")
    address = postgres.create_database("doctor")
    installation = fresh.with_settings(
        **s3.environment,
        AQ_OBJECT_STORE=f"s3://{bucket}/objects",
        AQ_WAREHOUSE=f"ducklake:postgres:{address}",
        AQ_WAREHOUSE_DATA=f"s3://{bucket}/warehouse",
    )
    result = invoke(installation, "doctor")
    assert result.exit_code == 0, result.output
    assert lines(result.stdout)["warehouse"][1].startswith("Postgres catalog")
    assert postgres.password not in result.output
    assert s3.secret_key not in result.output


def test_a_bucket_that_does_not_exist(fresh: Installation, s3: S3Server, invoke: Invoke) -> None:
    installation = fresh.with_settings(**s3.environment, AQ_OBJECT_STORE="s3://no-such-bucket/x")
    result = invoke(installation, "doctor")
    assert result.exit_code == 1
    wrong = sick(result.stdout)
    assert list(wrong) == ["object store"]
    assert "'no-such-bucket' does not exist" in wrong["object store"]
    assert "AQ_OBJECT_STORE" in wrong["object store"]


def test_wrong_keys_for_s3(fresh: Installation, s3: S3Server, invoke: Invoke) -> None:
    bucket = s3.create_bucket("doctor-keys")
    keys = {**s3.environment, "AWS_SECRET_ACCESS_KEY": "wrong-secret-of-the-test"}
    installation = fresh.with_settings(**keys, AQ_OBJECT_STORE=f"s3://{bucket}/x")
    result = invoke(installation, "doctor")
    assert result.exit_code == 1
    assert "credentials" in sick(result.stdout)["object store"]
    assert "wrong-secret-of-the-test" not in result.output


def test_a_postgres_that_is_not_there(fresh: Installation, invoke: Invoke) -> None:
    secret = "pg-secret-of-the-test"
    address = f"host=127.0.0.1 port=9 dbname=x user=y password={secret}"
    installation = fresh.with_settings(
        AQ_WAREHOUSE=f"ducklake:postgres:{address}", AQ_WAREHOUSE_DATA=str(fresh.folder / "data")
    )
    result = invoke(installation, "doctor")
    assert result.exit_code == 1
    assert list(sick(result.stdout)) == ["warehouse"]
    assert secret not in result.output


def test_a_network_that_cannot_be_reached(fresh: Installation, invoke: Invoke) -> None:
    result = invoke(fresh.with_settings(AQ_AIRQINO_URL="http://127.0.0.1:9"), "doctor")
    assert result.exit_code == 1
    wrong = sick(result.stdout)
    assert list(wrong) == ["airqino: clock", "airqino: readings"]
    assert "AirQino cannot be reached" in wrong["airqino: readings"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PROXY", "http://user:hun/ter-of-the-test@127.0.0.1:9"),
        ("AQ_AIRQINO_URL", "http://127.0.0.1:none"),
    ],
)
def test_an_address_that_is_none(
    fresh: Installation, invoke: Invoke, name: str, value: str
) -> None:
    result = invoke(fresh.with_settings(**{name: value, "NO_PROXY": ""}), "doctor")
    assert result.exit_code == 1, result.exception
    assert name in sick(result.stdout)["airqino: clock"]
    assert "hun" not in result.output


def test_a_login_in_an_address(fresh: Installation, invoke: Invoke) -> None:
    installation = fresh.with_settings(AQ_AIRQINO_URL="http://user:hunter-of-the-test@127.0.0.1:9")
    for command in (("doctor",), ("query", "SELECT 1"), ("refresh",)):
        result = invoke(installation, *command)
        assert "hunter-of-the-test" not in result.output
    assert "AQ_AIRQINO_USERNAME" in result.output


def test_a_station_that_is_unknown(fresh: Installation, invoke: Invoke) -> None:
    stations = [*STATIONS, "777"]
    installation = fresh.with_networks(airqino={"start_date": days_ago(30), "stations": stations})
    result = invoke(installation, "doctor")
    assert result.exit_code == 1
    wrong = sick(result.stdout)
    assert list(wrong) == ["airqino: stations"]
    assert "no station '777'" in wrong["airqino: stations"]


def test_a_login_that_is_wanted(
    fresh: Installation, sandbox: RunningSandbox, invoke: Invoke
) -> None:
    sandbox.inject("status", status=401, path_contains="getStationHourlyAvg")
    result = invoke(fresh, "doctor")
    assert result.exit_code == 1
    assert "AQ_AIRQINO_USERNAME" in sick(result.stdout)["airqino: readings"]


def test_a_home_that_cannot_be_written(fresh: Installation, invoke: Invoke) -> None:
    blocked = fresh.folder / "file"
    blocked.write_text("")
    result = invoke(fresh.with_settings(AQ_HOME=str(blocked / "home")), "doctor")
    assert result.exit_code == 1
    wrong = sick(result.stdout)
    assert list(wrong) == ["settings"]
    assert f"{blocked} is no folder" in wrong["settings"]


def test_runs_are_counted_as_dagster_counts_them(loaded: Loaded, invoke: Invoke) -> None:
    home = loaded.installation.home / "dagster"
    by_dagster = loaded.installation.with_settings(DAGSTER_HOME=str(home))
    found = [
        lines(invoke(one, "doctor").stdout)["Dagster instance"]
        for one in (loaded.installation, by_dagster)
    ]
    assert found[0] == found[1]
    assert int(found[0][1].split()[0]) > 0


@pytest.mark.parametrize("database", ["history/runs.db", "history/runs/index.db"])
def test_a_damaged_database_of_dagster(fresh: Installation, invoke: Invoke, database: str) -> None:
    assert invoke(fresh, "prepare").exit_code == 0
    home = fresh.home / "dagster"
    path = home / database
    path.write_bytes(b"garbage" * 999)
    for looked_at in (fresh, fresh.with_settings(DAGSTER_HOME=str(home))):
        result = invoke(looked_at, "doctor")
        assert result.exit_code == 1
        wrong = sick(result.stdout)
        assert list(wrong) == ["Dagster instance"]
        said = f"{path}, of Dagster's records of runs, is damaged"
        assert wrong["Dagster instance"].startswith(said)
    begun = invoke(fresh, "backfill", "--start", days_ago(2), "--end", days_ago(2))
    assert begun.exit_code == 1
    assert f"{path}, of Dagster's records of runs, is damaged" in begun.output


HOMES = ["file", "file/home", "link", "link/home", "loop", "a#b", "x" * 300]


@pytest.mark.parametrize("home", [*HOMES, "/proc/aq"])
def test_an_unusable_home_is_one_line(fresh: Installation, invoke: Invoke, home: str) -> None:
    (fresh.folder / "file").touch()
    (fresh.folder / "link").symlink_to(fresh.folder / "nothing")
    (fresh.folder / "loop").symlink_to(fresh.folder / "loop")
    unusable = fresh.with_settings(AQ_HOME=str(fresh.folder / home))
    days = ("--start", days_ago(2), "--end", days_ago(2))
    for command in (("query", "SELECT 1"), ("backfill", *days), ("up",), ("doctor",)):
        result = invoke(unusable, *command)
        assert result.exit_code == 1, (command, result.output)
        assert isinstance(result.exception, SystemExit), (command, result.exception)
        assert home in result.output
    assert len(sick(result.stdout)) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_without_the_right_to_write(fresh: Installation, invoke: Invoke) -> None:
    shut = fresh.folder / "shut"
    shut.mkdir(0o500)
    result = invoke(fresh.with_settings(AQ_HOME=str(shut)), "doctor")
    assert result.exit_code == 1
    assert list(sick(result.stdout)) == ["home"]
    assert "Point AQ_HOME at a folder that can" in result.stdout


def test_a_damaged_catalog(fresh: Installation, invoke: Invoke) -> None:
    assert invoke(fresh, "doctor").exit_code == 0
    path = fresh.home / "warehouse.sqlite"
    path.write_bytes(b"garbage" * 999)
    result = invoke(fresh, "doctor")
    assert list(sick(result.stdout)) == ["warehouse"]
    for said in (result, invoke(fresh, "query", "SELECT 1")):
        assert said.exit_code == 1
        assert f"The warehouse's catalog {path} is damaged" in said.output


def test_no_network_enabled(fresh: Installation, invoke: Invoke) -> None:
    entry = {"enabled": False, "start_date": days_ago(30), "stations": STATIONS}
    result = invoke(fresh.with_networks(airqino=entry), "doctor")
    assert result.exit_code == 1
    assert list(sick(result.stdout)) == ["networks"]


@pytest.mark.parametrize("missing", ["AQ_AIRQINO_PASSWORD", "AQ_AIRQINO_CLIENT_SECRET"])
def test_half_a_login(fresh: Installation, invoke: Invoke, missing: str) -> None:
    login = {
        f"AQ_AIRQINO_{name}": "given-in-the-test"
        for name in ("USERNAME", "PASSWORD", "CLIENT_ID", "CLIENT_SECRET")
    }
    result = invoke(fresh.with_settings(**{**login, missing: ""}), "doctor")
    assert result.exit_code == 1
    assert missing in sick(result.stdout)["airqino: stations"]
    assert "given-in-the-test" not in result.output


def test_the_channels_of_alerts_are_named(fresh: Installation, invoke: Invoke) -> None:
    none = lines(invoke(fresh, "doctor").stdout)["alerts"]
    assert none[0] == "✓"
    assert "AQ_ALERT_WEBHOOK" in none[1]
    address = "http://127.0.0.1:9/secret-of-the-test"
    by_hook = fresh.with_settings(AQ_ALERT_WEBHOOK=address)
    result = invoke(by_hook, "doctor")
    assert lines(result.stdout)["alerts"] == ("✓", "the log, webhook")
    assert "secret-of-the-test" not in result.output


def test_a_test_alert_is_sent(fresh: Installation, invoke: Invoke) -> None:
    with webhook_sink() as hook:
        installation = fresh.with_settings(AQ_ALERT_WEBHOOK=hook.url("/secret-of-the-test"))
        result = invoke(installation, "doctor", "--send-test-alert")
        assert result.exit_code == 0, result.output
        assert hook.texts == ["[aq] Test\nA test by `aq doctor`: nothing is wrong."]
        hook.status = 404
        result = invoke(installation, "doctor", "--send-test-alert")
    assert result.exit_code == 1
    assert sick(result.stdout) == {"alerts": "webhook answered 404"}
    assert "secret-of-the-test" not in result.output


def test_wrong_settings_of_alerts(fresh: Installation, invoke: Invoke) -> None:
    installation = fresh.with_settings(AQ_ALERT_EMAIL_TO="ana@example.org")
    result = invoke(installation, "doctor")
    assert result.exit_code == 1
    wrong = sick(result.stdout)
    assert list(wrong) == ["alerts"]
    assert "SMTP_HOST" in wrong["alerts"]
