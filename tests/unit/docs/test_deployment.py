"""The deployment's files are well formed, agree with each other, and Dagster takes them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg2  # type: ignore[import-untyped,unused-ignore]
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance import InstanceRef
from dagster._core.workspace.config_schema import process_workspace_config
from dagster_aws.s3.compute_log_manager import S3ComputeLogManager
from dagster_postgres import DagsterPostgresStorage
from psycopg2.extensions import parse_dsn
from yamllint import linter  # type: ignore[import-untyped,unused-ignore]
from yamllint.config import YamlLintConfig  # type: ignore[import-untyped,unused-ignore]

from aq_platform.instance import BATCH_SIZE, open_instance
from aq_resources.alert_channels import AlertSettings
from aq_resources.dagster_storage.event_log import BatchingSqliteEventLogStorage
from aq_resources.logs import LogSettings
from aq_resources.metrics.settings import MetricsSettings
from aq_resources.networks import known_networks, settings_class
from aq_resources.settings import EnvironmentSettings, Settings
from aq_serving.ingest.settings import IngestSettings, MqttSettings
from aq_serving.settings import ApiSettings
from tests.servers.postgres import PostgresServer, programs

ROOT = Path(__file__).resolve().parents[3]
INSTANCES = ["deploy/dagster.yaml", "deploy/dagster.celery.yaml"]
MONITORING = [
    *("deploy/prometheus/prometheus.yml", "deploy/prometheus/alerts.yml"),
    *("deploy/grafana/provisioning/dashboards/aq.yaml",),
    *("deploy/grafana/provisioning/datasources/prometheus.yaml",),
]
YAML_FILES = [
    *("compose.yaml", *INSTANCES, "deploy/workspace.yaml", "deploy/helm-values.yaml"),
    *MONITORING,
]
# Servers that the containers share.
SERVICES = (
    *("prepare", "code", "webserver", "webserver-read-only", "daemon", "api", "ingest", "metrics"),
    "aq",
)
LINT = YamlLintConfig("{extends: relaxed, rules: {line-length: {max: 110}}}")


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text("utf-8"))


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = load("compose.yaml")
    return loaded


@pytest.mark.parametrize("path", YAML_FILES)
def test_yaml_is_clean(path: str) -> None:
    text = (ROOT / path).read_text("utf-8")
    assert [str(problem) for problem in linter.run(text, LINT)] == []


class TestDagsterYaml:
    def named_variables(self) -> set[str]:
        return set(re.findall(r"\{env: (\w+)\}", (ROOT / "deploy/dagster.yaml").read_text("utf-8")))

    def test_storage_and_logs_have_the_form_their_classes_want(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in self.named_variables():
            monkeypatch.setenv(name, "5432")
        config = load("deploy/dagster.yaml")
        for given, cls in (
            (config["storage"]["postgres"], DagsterPostgresStorage),
            (config["compute_logs"]["config"], S3ComputeLogManager),
        ):
            result = process_config(resolve_to_config_type(cls.config_type()), given)
            assert result.success, [error.message for error in result.errors or []]

    def test_compose_sets_every_variable_it_names(self, compose: dict[str, Any]) -> None:
        for service in SERVICES:
            assert self.named_variables() <= set(compose["services"][service]["environment"])

    def test_it_differs_from_the_embedded_one_only_in_stores_and_size(self) -> None:
        embedded, production = load("dagster.yaml"), load("deploy/dagster.yaml")
        same = ("telemetry", "nux", "run_retries", "retention", "sensors", "schedules", "backfills")
        for key in same:
            assert production[key] == embedded[key]
        for config in (embedded, production):
            # At this granularity a run claims its places in the queue, and none is left behind.
            assert config["concurrency"]["pools"] == {"granularity": "run"}
            runs = config["concurrency"]["runs"]
            [backfills] = runs["tag_concurrency_limits"]
            assert backfills == {
                "key": "dagster/backfill",
                "limit": runs["max_concurrent_runs"] - 1,
            }
            assert config["run_monitoring"]["enabled"]
            assert config["run_monitoring"]["free_slots_after_run_end_seconds"] == 60

    def test_dagster_dev_opens_the_projects_own_file_without_a_home(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As it does: a folder of its own for what it keeps, the configuration of this one."""
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        reference = InstanceRef.from_dir(str(tmp_path), config_dir=str(ROOT))
        with dg.DagsterInstance.from_ref(reference) as instance:
            assert instance.get_runs_count() == 0
            assert instance.run_monitoring_enabled

    def test_aq_adds_the_event_log_that_stores_batches(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DAGSTER_HOME", "")
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "500")
        monkeypatch.setenv("AQ_HOME", str(tmp_path))
        with open_instance(Settings()) as instance:
            assert isinstance(instance.event_log_storage, BatchingSqliteEventLogStorage)
            assert Path(instance.root_directory) == tmp_path / "dagster"
        written = yaml.safe_load((tmp_path / "dagster" / "dagster.yaml").read_text("utf-8"))
        del written["event_log_storage"]
        assert written == load("dagster.yaml")

    def test_celery_differs_in_the_launcher_alone(self) -> None:
        celery, production = load("deploy/dagster.celery.yaml"), load("deploy/dagster.yaml")
        assert celery.pop("run_launcher")["class"] == "CeleryRunLauncher"
        assert production.pop("run_launcher")["class"] == "HealthCheckedRunLauncher"
        assert celery == production

    def test_helm_configures_the_same_instance(self) -> None:
        values = load("deploy/helm-values.yaml")
        production = load("deploy/dagster.yaml")
        # These the chart has keys of its own for.
        logs = production.pop("python_logs")
        assert values["pythonLogs"] == {"pythonLogLevel": logs["python_log_level"]}
        for key in ("storage", "compute_logs", "telemetry", "run_launcher"):
            production.pop(key)
        assert values["additionalInstanceConfig"] == production
        assert values["telemetry"] == {"enabled": False}
        assert values["runLauncher"]["type"] == "K8sRunLauncher"
        assert values["dagsterWebserver"]["enableReadOnly"]
        assert values["postgresql"]["postgresqlScheme"] == "postgresql+psycopg2"

    @pytest.mark.parametrize("path", INSTANCES)
    def test_an_instance_opens_with_it(
        self, path: str, postgres_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        parts = parse_dsn(postgres_database)
        given = {
            "DAGSTER_PG_HOST": parts["host"],
            "DAGSTER_PG_PORT": parts["port"],
            "DAGSTER_PG_DB": parts["dbname"],
            "DAGSTER_PG_USER": parts["user"],
            "DAGSTER_PG_PASSWORD": parts["password"],
            "AQ_BUCKET": "air-quality",
            "AQ_S3_ENDPOINT_URL": "http://127.0.0.1:1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "DAGSTER_HOME": str(tmp_path),
            "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
            "CELERY_RESULT_BACKEND": "redis://127.0.0.1:1/0",
        }
        assert self.named_variables() <= set(given)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        shutil.copy(ROOT / path, tmp_path / "dagster.yaml")
        with dg.DagsterInstance.get() as instance:
            assert instance.get_runs_count() == 0
            assert type(instance.run_storage).__name__ == "PostgresRunStorage"
            assert isinstance(instance.compute_log_manager, S3ComputeLogManager)
            launcher = "CeleryRunLauncher" if "celery" in path else "HealthCheckedRunLauncher"
            assert type(instance.run_launcher).__name__ == launcher
            assert instance.run_monitoring_enabled
            assert instance.run_retries_enabled
            assert not instance.telemetry_enabled
            assert not instance.nux_enabled


class TestWorkspace:
    def test_it_has_the_form_dagster_wants(self) -> None:
        assert process_workspace_config(load("deploy/workspace.yaml")).success

    def test_it_points_at_the_code_server_of_compose(self, compose: dict[str, Any]) -> None:
        [entry] = load("deploy/workspace.yaml")["load_from"]
        server = entry["grpc_server"]
        command = compose["services"][server["host"]]["command"]
        assert command[command.index("-p") + 1] == str(server["port"])
        assert command[-1] == "aq_platform.definitions"
        [local] = load("workspace.yaml")["load_from"]
        assert server["location_name"] == local["python_module"]["location_name"]


class TestCompose:
    def test_dependencies_volumes_and_files_exist(self, compose: dict[str, Any]) -> None:
        services = compose["services"]
        for name, service in services.items():
            assert "restart" in service, name
            for other, how in service.get("depends_on", {}).items():
                assert other in services
                if how["condition"] == "service_healthy":
                    assert "test" in services[other]["healthcheck"]
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    assert (ROOT / source).exists(), source
                else:
                    assert source in compose["volumes"]

    def test_secrets_have_no_default_and_the_example_names_them(
        self, compose: dict[str, Any]
    ) -> None:
        text = (ROOT / "compose.yaml").read_text("utf-8")
        required = set(re.findall(r"\$\{(\w+):\?", text))
        databases = {"POSTGRES_PASSWORD", "DAGSTER_PG_PASSWORD", "WAREHOUSE_PG_PASSWORD"}
        assert required == {*databases, "S3_ACCESS_KEY", "S3_SECRET_KEY"}
        example = (ROOT / "deploy/env.example").read_text("utf-8")
        named = set(re.findall(r"^(?:# )?(\w+)=", example, re.MULTILINE))
        own = {"AQ_BUCKET", "AQ_UI_HOSTS", "AQ_RUNS_MEMORY", "AQ_SERVICE_MEMORY"}
        own |= {"AQ_API_WORKERS", "AQ_DEVICES_SPOOL_TOKEN"}
        handed_on = {name for name in named if name[:3] == "AQ_"} - own
        assert set(re.findall(r"\$\{(\w+)", text)) == named - handed_on
        assert handed_on <= self.known()

    def test_only_uis_and_api_are_published_and_only_here(self, compose: dict[str, Any]) -> None:
        published = {n: s["ports"] for n, s in compose["services"].items() if "ports" in s}
        assert published == {
            "webserver": ["127.0.0.1:3000:3000"],
            "webserver-read-only": ["127.0.0.1:3001:3000"],
            "api": ["127.0.0.1:8700:8700"],
            "ingest": ["127.0.0.1:8710:8710"],
            "mosquitto": ["127.0.0.1:1883:1883"],
            "prometheus": ["127.0.0.1:9090:9090"],
            "grafana": ["127.0.0.1:3002:3000"],
            "superset": ["127.0.0.1:8088:8088"],
        }
        assert compose["services"]["superset"]["profiles"] == ["superset"]
        assert "--read-only" in compose["services"]["webserver-read-only"]["command"]
        assert "--read-only" not in compose["services"]["webserver"]["command"]

    def test_every_service_is_bounded(self, compose: dict[str, Any]) -> None:
        for name, service in compose["services"].items():
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert service["mem_limit"], name
            assert service["pids_limit"], name
            assert service["logging"]["options"]["max-size"], name
            if name in SERVICES:
                assert service["read_only"], name
                assert "cap_add" not in service, name

    def test_only_what_asks_the_world_reaches_it(self, compose: dict[str, Any]) -> None:
        networks = compose["networks"]
        inside = {name: {"internal": True} for name in ("stores", "inner", "watch", "broker")}
        assert networks == {**inside, "outer": {}}
        of = {name: set(service["networks"]) for name, service in compose["services"].items()}
        # A published port needs a network that is not internal.
        assert {name for name, own in of.items() if "outer" in own} == {
            *("code", "aq", "api", "ingest", "mosquitto"),
            *("webserver", "webserver-read-only", "prometheus", "grafana", "superset"),
        }
        # Dagster's code server asks for no login.
        assert {name for name, own in of.items() if "inner" in own}.isdisjoint({"postgres", "s3"})

    def test_each_database_has_a_role_that_reaches_no_other(
        self, compose: dict[str, Any], postgres: PostgresServer, tmp_path: Path
    ) -> None:
        """By the very script that the image runs, on a server."""
        administrator = parse_dsn(postgres.uri())
        environment = {
            "PATH": f"{programs()}:{os.environ['PATH']}",
            "PGHOST": administrator["host"],
            "PGPORT": administrator["port"],
            "PGPASSWORD": administrator["password"],
            "POSTGRES_USER": administrator["user"],
            "DAGSTER_PG_PASSWORD": "d'1",
            "WAREHOUSE_PG_PASSWORD": "w2",
        }
        script = ROOT / "deploy" / "postgres-init.sh"
        assert f"./deploy/{script.name}:" in str(compose["services"]["postgres"]["volumes"])
        subprocess.run(["sh", str(script)], env=environment, check=True, cwd=tmp_path)
        try:
            passwords = {"dagster": "d'1", "warehouse": "w2"}
            for role, password in passwords.items():
                for database in passwords:
                    reached = self.reaches(administrator, role, password, database)
                    assert reached is (role == database), (role, database)
        finally:
            with closing(psycopg2.connect(postgres.uri())) as connection:
                connection.autocommit = True
                for name in passwords:
                    connection.cursor().execute(f"DROP DATABASE {name}")
                    connection.cursor().execute(f"DROP ROLE {name}")

    def reaches(self, server: dict[str, str], role: str, password: str, database: str) -> bool:
        address = {"host": server["host"], "port": server["port"], "dbname": database}
        try:
            with closing(psycopg2.connect(**address, user=role, password=password)) as connection:
                connection.cursor().execute("CREATE TABLE own (n int)")
        except psycopg2.OperationalError as error:
            return "permission denied for database" not in str(error)
        return True

    def test_every_ui_is_the_guarded_one_and_knows_its_names(self, compose: dict[str, Any]) -> None:
        for service in ("webserver", "webserver-read-only"):
            given = compose["services"][service]
            assert given["command"][:2] == ["python", "-maq_platform.webserver"]
            assert given["environment"]["AQ_UI_HOSTS"] == "${AQ_UI_HOSTS:-}"
        dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
        assert re.search(
            r'^CMD \["python", "-m", "aq_platform.webserver", ', dockerfile, re.MULTILINE
        )
        # The Helm chart starts it by this name.
        assert re.search(
            r"aq_platform\.webserver import main.*\n +> /opt/venv/bin/dagster-webserver", dockerfile
        )

    def test_events_are_stored_in_batches_as_by_the_command(self, compose: dict[str, Any]) -> None:
        for service in ("code", "aq"):
            given = compose["services"][service]["environment"]["DAGSTER_EVENT_BATCH_SIZE"]
            assert given == str(BATCH_SIZE)
        [location] = load("deploy/helm-values.yaml")["dagster-user-deployments"]["deployments"]
        assert {"name": "DAGSTER_EVENT_BATCH_SIZE", "value": str(BATCH_SIZE)} in location["env"]

    def known(self) -> set[str]:
        """Every variable of the platform."""
        classes: list[type[EnvironmentSettings]] = [
            Settings,
            AlertSettings,
            ApiSettings,
            IngestSettings,
            MqttSettings,
            MetricsSettings,
            LogSettings,
            *(settings_class(n) for n in known_networks()),
        ]
        return {
            f"{cls.model_config.get('env_prefix', '')}{name}".upper()
            for cls in classes
            for name in cls.model_fields
        }

    def test_settings_are_known_and_the_others_come_from_the_file(
        self, compose: dict[str, Any]
    ) -> None:
        for service in ("code", "aq"):
            given = compose["services"][service]
            own = {n for n in given["environment"] if n[:3] == "AQ_"}
            assert own <= self.known() | {"AQ_BUCKET"}
            # What is named there would hide what the file says.
            networks = tuple(f"AQ_{name.upper()}_" for name in (*known_networks(), "alert"))
            assert not [name for name in own if name.startswith(networks)]
            assert given["env_file"] == [{"path": ".env", "required": False}]

    def test_bucket_name_is_legal(self, compose: dict[str, Any]) -> None:
        bucket = re.fullmatch(
            r"\$\{AQ_BUCKET:-(.+)\}", compose["services"]["code"]["environment"]["AQ_BUCKET"]
        )
        assert bucket
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", bucket[1])


class TestDockerfile:
    TEXT = (ROOT / "Dockerfile").read_text("utf-8")

    def test_it_copies_every_package_and_root_file_that_is_read(self) -> None:
        copied = " ".join(re.findall(r"^COPY (?!--from)(.*)$", self.TEXT, re.MULTILINE)).split()
        # What has a pyproject.toml of its own is a distribution of its own.
        packages = {
            p.name
            for p in ROOT.glob("aq_*")
            if (p / "__init__.py").exists() and not (p / "pyproject.toml").exists()
        }
        # `aq --version` reads pyproject.toml, since nothing is installed.
        read = {"networks.yaml", "dagster.yaml", "workspace.yaml", "pyproject.toml", "LICENSE"}
        assert packages | read <= set(copied)
        ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        assert {f"!{name}" for name in copied if name not in (".", "./")} <= set(ignored)

    def test_it_installs_by_hash_and_does_not_run_as_root(self) -> None:
        assert "--require-hashes" in self.TEXT
        assert re.search(r"^USER \d+:\d+$", self.TEXT, re.MULTILINE)
        assert "HEALTHCHECK" in self.TEXT


class TestSystemd:
    UNIT = (ROOT / "deploy" / "aq.service").read_text("utf-8")

    @pytest.mark.server
    @pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
    def test_the_unit_is_sound(self, tmp_path: Path) -> None:
        # The command and the user are of the machine that it is for.
        unit = re.sub(r"^(User|Group)=.*$", r"\1=root", self.UNIT, flags=re.MULTILINE)
        unit = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit, flags=re.MULTILINE)
        (tmp_path / "aq.service").write_text(unit)
        done = subprocess.run(
            ["systemd-analyze", "verify", str(tmp_path / "aq.service")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_it_may_write_to_one_folder_which_is_the_platforms(self) -> None:
        assert "ProtectSystem=strict" in self.UNIT
        assert "NoNewPrivileges=true" in self.UNIT
        [folder] = re.findall(r"^StateDirectory=(\S+)$", self.UNIT, re.MULTILINE)
        assert f"AQ_HOME=/var/lib/{folder}\n" in self.UNIT
        assert "ReadWritePaths" not in self.UNIT
