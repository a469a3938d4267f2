"""Settings from the environment: readable errors, and the table that documents them."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from aq_resources.alert_channels import AlertSettings
from aq_resources.failures import SettingsError
from aq_resources.logs import LogSettings
from aq_resources.metrics.settings import MetricsSettings
from aq_resources.networks import known_networks, settings_class
from aq_resources.settings import EnvironmentSettings, Settings
from aq_resources.stores.object_store import open_object_store
from aq_serving.ingest.settings import IngestSettings, MqttSettings
from aq_serving.settings import ApiSettings

TABLE = Path(__file__).resolve().parents[3] / "docs" / "settings.md"
CLASSES: list[type[EnvironmentSettings]] = [
    Settings,
    AlertSettings,
    ApiSettings,
    IngestSettings,
    MqttSettings,
    MetricsSettings,
    LogSettings,
    *(settings_class(n) for n in known_networks()),
]
# Each may hold a login: a secret as a whole, and a Postgres address, whose password is kept apart.
WITH_LOGIN = {"AQ_ALERT_WEBHOOK", "AQ_WAREHOUSE"}
ROW = re.compile(r"^\|\s*`(AQ_[A-Z0-9_]+)`\s*\|(.*)\|(.*)\|\s*$", re.MULTILINE)

pytestmark = pytest.mark.usefixtures("clean_environment")


def test_defaults_are_below_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AQ_HOME", str(tmp_path))
    settings = Settings()
    assert settings.object_store_url == f"file://{tmp_path}/objects"
    assert settings.warehouse_url == f"ducklake:sqlite:{tmp_path}/warehouse.sqlite"
    assert settings.warehouse_data_path == str(tmp_path / "warehouse")
    assert settings.dagster_home == tmp_path / "dagster"


def test_home_is_absolute_whatever_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings().home == tmp_path / ".aq"
    monkeypatch.setenv("AQ_HOME", "~/air")
    assert Settings().home == Path.home() / "air"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AQ_HTTP_ATTEMPTS", "0", "greater than or equal to 1"),
        ("AQ_HTTP_ATTEMPTS", "many", "valid integer"),
        ("AQ_HTTP_TIMEOUT_SECONDS", "-1", "greater than 0"),
        ("AQ_HTTP_CONCURRENCY", "0", "greater than or equal to 1"),
        ("AQ_CHUNK_DAYS", "0", "greater than or equal to 1"),
        ("AQ_LOOK_BACK_HOURS", "2", "greater than or equal to 3"),
        ("AQ_DAILY_DAY", "lunar", "'civil' or 'standard'"),
        ("AQ_GAS_REFERENCE_CELSIUS", "warm", "valid number"),
        ("AQ_OBJECT_STORE", "/data", "must start with file:// or s3://, not '/data'"),
        ("AQ_WAREHOUSE", "postgres://u:secret@h/db", "must start with ducklake:"),
        ("AQ_MLFLOW_TRACKING_URI", "mlflow.db", "must be sqlite:/// and the whole path"),
        ("AQ_MLFLOW_TRACKING_URI", "sqlite:///mlflow.db", "four slashes"),
        ("AQ_MLFLOW_TRACKING_URI", "http://me:secret@host", "MLFLOW_TRACKING_PASSWORD"),
    ],
)
def test_bad_value_is_one_readable_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        Settings()
    text = str(raised.value)
    assert f"{name}: " in text
    assert says in text
    assert "secret" not in text
    assert raised.value.__cause__ is None


def test_all_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AQ_CHUNK_DAYS", "x")
    monkeypatch.setenv("AQ_HTTP_ATTEMPTS", "y")
    with pytest.raises(SettingsError, match=r"(?s)AQ_HTTP_ATTEMPTS.*AQ_CHUNK_DAYS"):
        Settings()


@pytest.mark.parametrize("name", ["AQ_OBJECT_STORE", "AQ_CHUNK_DAYS", "AQ_S3_ENDPOINT_URL"])
def test_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    default = Settings().model_dump()
    monkeypatch.setenv(name, "")
    assert Settings().model_dump() == default


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        pytest.param({}, "{home}/warehouse", id="embedded"),
        pytest.param(
            {"AQ_WAREHOUSE": "ducklake:sqlite:/srv/lake/w.sqlite"},
            "/srv/lake/warehouse",
            id="beside a sqlite catalog",
        ),
        pytest.param(
            {"AQ_WAREHOUSE": "ducklake:postgres:dbname=lake"}, "{home}/warehouse", id="postgres"
        ),
        pytest.param(
            {
                "AQ_WAREHOUSE": "ducklake:postgres:dbname=lake",
                "AQ_OBJECT_STORE": "s3://bucket/prefix",
            },
            "s3://bucket/prefix/warehouse",
            id="postgres and s3",
        ),
        pytest.param(
            {"AQ_WAREHOUSE_DATA": "s3://lake/rows", "AQ_OBJECT_STORE": "s3://bucket"},
            "s3://lake/rows",
            id="as set",
        ),
    ],
)
def test_the_warehouse_knows_where_its_rows_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: dict[str, str], path: str
) -> None:
    monkeypatch.setenv("AQ_HOME", str(tmp_path))
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert Settings().warehouse_data_path == path.format(home=tmp_path)


def test_object_store_has_no_slash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AQ_OBJECT_STORE", "s3://bucket/prefix/")
    assert Settings().object_store_url == "s3://bucket/prefix"


@pytest.mark.parametrize("network", known_networks())
def test_credentials_of_a_network_never_show(monkeypatch: pytest.MonkeyPatch, network: str) -> None:
    """Every text that is not an address, a user name or an identifier is a secret by its type."""
    kind = settings_class(network)
    prefix = kind.model_config["env_prefix"]
    assert prefix == f"AQ_{network.upper()}_"
    secret = [n for n in kind.model_fields if re.search(r"password|secret|key|token$", n)]
    for name in secret:
        monkeypatch.setenv(f"{prefix}{name}".upper(), "hunter2")
    found = kind()
    assert "hunter2" not in repr(found)
    assert all(isinstance(getattr(found, name), SecretStr) for name in secret)


def declared(kind: type[EnvironmentSettings]) -> set[str]:
    prefix = kind.model_config["env_prefix"]
    return {f"{prefix}{name}".upper() for name in kind.model_fields}


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert TABLE.exists(), "docs/settings.md is missing"
    rows = ROW.findall(TABLE.read_text("utf-8"))
    documented = [name for name, _, _ in rows]
    known = set().union(*(declared(one) for one in CLASSES))
    assert {
        "missing": sorted(known - set(documented)),
        "surplus": sorted(set(documented) - known),
        "twice": sorted({name for name in documented if documented.count(name) > 1}),
        "without meaning": sorted(name for name, _, meaning in rows if not meaning.strip()),
    } == {"missing": [], "surplus": [], "twice": [], "without meaning": []}


@pytest.mark.parametrize("character", list("?#%*[]"))
def test_a_home_that_a_database_cannot_be_in_is_refused(
    character: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AQ_HOME", f"/data/a{character}b")
    with pytest.raises(SettingsError, match="choose another folder"):
        Settings()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("file://data/objects", "write file:///data/objects"),
        ("file:///data/a*b", "a folder without"),
        ("s3://bucket/a?b", "s3://bucket/prefix"),
        ("s3:///prefix", "s3://bucket/prefix"),
    ],
)
def test_an_address_of_no_store_gets_its_mend(
    address: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AQ_OBJECT_STORE", address)
    with pytest.raises(SettingsError) as raised:
        Settings()
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "address",
    [
        "https://user:hunter-2@host/path",
        "https://hunter-2@host",
        "s3://user:hunter-2@bucket/prefix",
        "https://user:hun/ter-2@host:80/",
        "https://user:#ter-2@host",
        " HTTP://:hunter-2@host",
    ],
)
def test_a_login_in_an_address_is_refused_and_not_repeated(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in CLASSES:
        prefix = kind.model_config["env_prefix"]
        texts = [
            name for name, field in kind.model_fields.items() if "str" in str(field.annotation)
        ]
        for name in {f"{prefix}{one}".upper() for one in texts} - WITH_LOGIN:
            with monkeypatch.context() as patch:
                patch.setenv(name, address)
                with pytest.raises(SettingsError, match=f"{name}.*: ") as raised:
                    kind()
            assert "ter-2" not in str(raised.value)
            assert "hun" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "name", "instead"),
    [
        (Settings, "AQ_S3_ENDPOINT_URL", "AWS_SECRET_ACCESS_KEY"),
        (settings_class("airqino"), "AQ_AIRQINO_TOKEN_URL", "AQ_AIRQINO_PASSWORD"),
        (settings_class("airqo"), "AQ_AIRQO_URL", "AQ_AIRQO_TOKEN"),
        (settings_class("irceline"), "AQ_IRCELINE_URL", "asks for none"),
        (settings_class("openaq"), "AQ_OPENAQ_ARCHIVE", "AQ_OPENAQ_API_KEY"),
        (AlertSettings, "AQ_ALERT_SMTP_HOST", "AQ_ALERT_SMTP_PASSWORD"),
    ],
)
def test_where_a_login_belongs_is_said(
    kind: type[EnvironmentSettings], name: str, instead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "https://user:hunter-2@host")
    with pytest.raises(SettingsError, match=f"{name}.*{instead}"):
        kind()


@pytest.mark.parametrize(
    "address",
    [
        "https://host/@user",
        "https://host:8443/a:b@c",
        "https://host?who=a:b@c",
        "https://[::1]:80/@",
    ],
)
def test_an_at_sign_elsewhere_is_no_login(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AQ_UI_URL", address)
    assert Settings().ui_url == address


def test_a_name_of_the_ui_is_shown_without_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AQ_UI_HOSTS", "user:hunter-2@host:80")
    with pytest.raises(SettingsError, match=r"not host:80$"):
        Settings()


def test_a_mail_server_is_a_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AQ_ALERT_SMTP_HOST", "user:hunter-2@host")
    with pytest.raises(SettingsError, match="AQ_ALERT_SMTP_USERNAME") as raised:
        AlertSettings()
    assert "hunter-2" not in str(raised.value)


@pytest.mark.parametrize("name", ["a b", "ünï", "it's", "a;b"])
def test_blanks_quotes_and_accents_are_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AQ_HOME", f"/data/{name}")
    store = open_object_store(Settings().object_store_url)
    assert store.uri("key") == f"/data/{name}/objects/key"
