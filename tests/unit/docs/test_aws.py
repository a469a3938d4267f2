"""The AWS template: what it must never let through, and that it fits the platform."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2  # type: ignore[import-untyped,unused-ignore]
import pytest
import yaml
from psycopg2.extensions import make_dsn, parse_dsn

from aq_resources.alert_channels import AlertSettings
from aq_resources.networks import known_networks, settings_class
from aq_resources.settings import EnvironmentSettings, Settings
from aq_serving.ingest.settings import IngestSettings
from aq_serving.settings import ApiSettings
from tests.conftest import ROOT
from tests.servers.postgres import PostgresServer, programs

AWS = ROOT / "deploy" / "aws"
TEMPLATE: dict[str, Any] = yaml.safe_load((AWS / "air-quality.yaml").read_text("utf-8"))
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
CONTAINERS: dict[str, dict[str, Any]] = {
    name: resource["Properties"]["ContainerDefinitions"][0]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::ECS::TaskDefinition"
}


def of(kind: str) -> dict[str, dict[str, Any]]:
    """Properties of every resource of a type, of which there is one at least."""
    found = {n: r["Properties"] for n, r in RESOURCES.items() if r["Type"] == f"AWS::{kind}"}
    assert found, kind
    return found


def group(reference: Any) -> str:
    """The security group that is meant."""
    [(function, (name, attribute))] = reference.items()
    assert (function, attribute) == ("Fn::GetAtt", "GroupId")
    return str(name)


def variables(container: dict[str, Any]) -> dict[str, Any]:
    return {entry["Name"]: entry["Value"] for entry in container["Environment"]}


def secret_names(container: dict[str, Any]) -> set[str]:
    entries = [s.get("Fn::If", [None, s])[1] for s in container["Secrets"]]
    return {entry["Name"] for entry in entries}


def test_the_file_is_what_the_program_writes(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(AWS / "template.py"), run_name="__main__")
    assert capsys.readouterr().out == (AWS / "air-quality.yaml").read_text("utf-8"), "make aws"


class TestNothingIsPublicButTheLoadBalancer:
    def test_one_group_hears_the_internet_and_at_two_ports(self) -> None:
        open_to_all = {
            (group(rule["GroupId"]), rule["FromPort"], rule["ToPort"])
            for rule in of("EC2::SecurityGroupIngress").values()
            if "SourceSecurityGroupId" not in rule
        }
        assert open_to_all == {
            ("LoadBalancerGroup", 80, 80),
            ("LoadBalancerGroup", 443, 443),
        }
        assert not [g for g in of("EC2::SecurityGroup").values() if "SecurityGroupIngress" in g]

    def test_the_stores_go_nowhere(self) -> None:
        out = [group(rule["GroupId"]) for rule in of("EC2::SecurityGroupEgress").values()]
        assert {"DatabaseGroup", "RedisGroup"}.isdisjoint(out)
        for name, own in of("EC2::SecurityGroup").items():
            [rule] = own["SecurityGroupEgress"]
            assert rule["CidrIp"] == "127.0.0.1/32", name

    def test_every_inner_flow_is_allowed_at_both_ends(self) -> None:
        entering = {
            (group(r["SourceSecurityGroupId"]), group(r["GroupId"]), r["FromPort"], r["ToPort"])
            for r in of("EC2::SecurityGroupIngress").values()
            if "SourceSecurityGroupId" in r
        }
        leaving = {
            (group(r["GroupId"]), group(r["DestinationSecurityGroupId"]), r["FromPort"])
            for r in of("EC2::SecurityGroupEgress").values()
            if "DestinationSecurityGroupId" in r
        }
        assert {flow[:3] for flow in entering} == leaving
        assert all(start == end for *_, start, end in entering)
        reach_code = {source for source, target, *_ in entering if target == "CodeGroup"}
        assert reach_code == {"WebserverGroup", "DaemonGroup"}

    def test_only_who_pushes_drains_or_makes_keys_reaches_the_spool(self) -> None:
        flows = of("EC2::SecurityGroupIngress").values()
        reaching = {
            group(r["SourceSecurityGroupId"])
            for r in flows
            if "SourceSecurityGroupId" in r and group(r["GroupId"]) == "FilesGroup"
        }
        assert reaching == {"IngestGroup", "CodeGroup", "WorkerGroup", "TaskGroup"}
        for target in of("EFS::MountTarget").values():
            assert target["SubnetId"]["Ref"].startswith("Stores")
            assert group(target["SecurityGroups"][0]) == "FilesGroup"

    def test_nothing_has_a_public_address(self) -> None:
        for service in of("ECS::Service").values():
            place = service["NetworkConfiguration"]["AwsvpcConfiguration"]
            assert place["AssignPublicIp"] == "DISABLED"
            assert place["Subnets"] == [{"Ref": "PrivateSubnet1"}, {"Ref": "PrivateSubnet2"}]
            assert not service["EnableExecuteCommand"]
        assert not any(s["MapPublicIpOnLaunch"] for s in of("EC2::Subnet").values())
        [database] = of("RDS::DBInstance").values()
        assert database["PubliclyAccessible"] is False
        [subnets] = of("RDS::DBSubnetGroup").values()
        assert subnets["SubnetIds"] == [{"Ref": "StoresSubnet1"}, {"Ref": "StoresSubnet2"}]

    def test_only_public_subnets_lead_to_the_internet_directly(self) -> None:
        leads = {r["RouteTableId"]["Ref"] for r in of("EC2::Route").values() if "GatewayId" in r}
        assert leads == {"PublicRoutes"}
        routed = {
            a["SubnetId"]["Ref"]: a["RouteTableId"]["Ref"]
            for a in of("EC2::SubnetRouteTableAssociation").values()
        }
        assert {n for n, table in routed.items() if table == "PublicRoutes"} == {
            "PublicSubnet1",
            "PublicSubnet2",
        }
        # The stores' have the main table, which leads nowhere outside.
        assert not [name for name in routed if name.startswith("Stores")]

    def test_buckets_are_closed(self) -> None:
        for bucket in of("S3::Bucket").values():
            assert all(bucket["PublicAccessBlockConfiguration"].values())
            assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        for policy in of("S3::BucketPolicy").values():
            for statement in policy["PolicyDocument"]["Statement"]:
                assert statement["Effect"] == "Deny" or statement["Principal"] != "*"

    def test_the_ui_asks_for_a_login_and_nobody_signs_up(self) -> None:
        rules = of("ElasticLoadBalancingV2::ListenerRule")
        login, forward = sorted(rules["WebserverRule"]["Actions"], key=lambda a: a["Order"])
        assert (login["Type"], forward["Type"]) == ("authenticate-cognito", "forward")
        assert login["AuthenticateCognitoConfig"]["OnUnauthenticatedRequest"] == "authenticate"
        forwards = [
            (name, action)
            for name, rule in rules.items()
            for action in rule["Actions"]
            if action.get("TargetGroupArn") == {"Ref": "WebserverTargets"}
        ]
        assert [name for name, _ in forwards] == ["WebserverRule"]
        [people] = of("Cognito::UserPool").values()
        assert people["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
        assert people["MfaConfiguration"] == "ON"


class TestEncryption:
    def test_at_rest(self) -> None:
        for bucket in of("S3::Bucket").values():
            [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"]
        [database] = of("RDS::DBInstance").values()
        assert database["StorageEncrypted"] is True
        [redis] = of("ElastiCache::ReplicationGroup").values()
        assert redis["AtRestEncryptionEnabled"] is True
        [files] = of("EFS::FileSystem").values()
        assert files["Encrypted"] is True

    def test_on_the_way(self) -> None:
        listeners = of("ElasticLoadBalancingV2::Listener")
        assert {name: own["Protocol"] for name, own in listeners.items()} == {
            "Plain": "HTTP",
            "Tls": "HTTPS",
        }
        assert "TLS13" in listeners["Tls"]["SslPolicy"]
        [redirect] = listeners["Plain"]["DefaultActions"]
        assert redirect["RedirectConfig"]["Protocol"] == "HTTPS"
        [parameters] = of("RDS::DBParameterGroup").values()
        assert parameters["Parameters"] == {"rds.force_ssl": "1"}
        [redis] = of("ElastiCache::ReplicationGroup").values()
        assert redis["TransitEncryptionEnabled"] is True
        policies = of("S3::BucketPolicy").values()
        [files] = of("EFS::FileSystem").values()
        assert "aws:SecureTransport" in json.dumps(files["FileSystemPolicy"])
        closed = {p["Bucket"]["Ref"] for p in policies if "aws:SecureTransport" in json.dumps(p)}
        assert closed == set(of("S3::Bucket"))


class TestBackups:
    def test_stores_are_backed_up_and_outlive_the_stack(self) -> None:
        database = RESOURCES["Database"]
        assert database["Properties"]["BackupRetentionPeriod"] >= 7
        assert database["Properties"]["DeletionProtection"] is True
        assert database["DeletionPolicy"] == database["UpdateReplacePolicy"] == "Snapshot"
        files = RESOURCES["Files"]
        assert files["Properties"]["BackupPolicy"] == {"Status": "ENABLED"}
        assert files["DeletionPolicy"] == files["UpdateReplacePolicy"] == "Retain"
        for name, bucket in of("S3::Bucket").items():
            assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
            assert RESOURCES[name]["DeletionPolicy"] == "Retain"
            assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


class TestPermissions:
    def statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, role in of("IAM::Role").items():
            assert "ManagedPolicyArns" not in role
            for policy in role.get("Policies", []):
                for statement in policy["PolicyDocument"]["Statement"]:
                    yield name, statement.get("Fn::If", [None, statement])[1]
        for name, policy in of("S3::BucketPolicy").items():
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement

    def test_no_action_is_a_wildcard(self) -> None:
        allowed = [(n, s) for n, s in self.statements() if s["Effect"] == "Allow"]
        assert allowed
        for name, statement in allowed:
            assert not [a for a in statement["Action"] if "*" in a], name
            assert "NotAction" not in statement

    def test_one_action_alone_is_allowed_on_everything(self) -> None:
        on_all = [
            s["Action"]
            for _, s in self.statements()
            if s["Effect"] == "Allow" and "*" in s["Resource"]
        ]
        # It has no resource.
        assert on_all == [["ecr:GetAuthorizationToken"]]

    def test_only_who_writes_may_write(self) -> None:
        writing = {
            name.removesuffix("Task")
            for name, resource in RESOURCES.items()
            if name in CONTAINERS
            and resource["Properties"]["TaskRoleArn"]["Fn::GetAtt"][0] == "WritingRole"
        }
        assert writing == {"Code", "Worker", "Aq"}
        read = [s["Action"] for n, s in self.statements() if n in ("ReadingRole", "IngestRole")]
        assert not re.search("Put|Delete", str(read))


class TestSecrets:
    def test_none_is_written_down(self) -> None:
        keys = json.loads(RESOURCES["NetworkSecrets"]["Properties"]["SecretString"])
        assert set(keys.values()) == {""}
        for name, secret in of("SecretsManager::Secret").items():
            assert name == "NetworkSecrets" or secret["GenerateSecretString"]["PasswordLength"] > 30
        assert RESOURCES["Database"]["Properties"]["ManageMasterUserPassword"] is True
        for name, container in CONTAINERS.items():
            plain = [v for v in variables(container) if re.search("PASSWORD|SECRET|TOKEN|KEY", v)]
            assert not plain, name

    def test_what_serves_people_has_no_keys_of_networks(self) -> None:
        keys = set(json.loads(RESOURCES["NetworkSecrets"]["Properties"]["SecretString"]))
        having = {name for name, own in CONTAINERS.items() if keys & secret_names(own)}
        assert having == {"CodeTask", "DaemonTask", "WorkerTask", "AqTask"}

    def test_all_settings_that_are_secrets_can_be_given(self) -> None:
        keys = set(json.loads(RESOURCES["NetworkSecrets"]["Properties"]["SecretString"]))
        secret = re.compile("USERNAME|PASSWORD|CLIENT_ID|SECRET|TOKEN$|API_KEY|WEBHOOK")
        wanted = {name for name in known_settings() if secret.search(name)}
        of_the_api = {name for name in wanted if name.startswith("AQ_API_KEY_")}
        assert keys == wanted - of_the_api - {"AQ_ALERT_SMTP_USERNAME"}


def known_settings() -> set[str]:
    """Every variable of the platform."""
    classes: list[type[EnvironmentSettings]] = [
        *(Settings, AlertSettings, ApiSettings),
        *(settings_class(name) for name in known_networks()),
    ]
    return {
        f"{cls.model_config.get('env_prefix', '')}{name}".upper()
        for cls in classes
        for name in cls.model_fields
    }


class TestPlatform:
    def test_settings_are_known(self) -> None:
        for name, container in CONTAINERS.items():
            own = {v for v in {*variables(container), *secret_names(container)} if v[:3] == "AQ_"}
            assert own <= known_settings() | {"AQ_BUCKET"}, name

    def test_it_runs_what_compose_runs(self) -> None:
        services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
        for name in ("Code", "Daemon", "Webserver"):
            start, *command = CONTAINERS[f"{name}Task"]["Command"]
            assert start == "/app/deploy/aws/start.sh"
            theirs = [
                part.replace("/app/deploy/workspace.yaml", "/app/deploy/aws/workspace.yaml")
                for part in services[name.lower()]["command"]
                # By AQ_LOG_FORMAT there.
                if not part.startswith("--log-format=")
            ]
            assert command == theirs

    def test_a_second_daemon_never_runs_beside_the_first(self) -> None:
        for name in ("Daemon", "Code", "Ingest"):
            limits = RESOURCES[f"{name}Service"]["Properties"]["DeploymentConfiguration"]
            assert (limits["MaximumPercent"], limits["MinimumHealthyPercent"]) == (100, 0)

    def test_the_workspace_names_the_code_server(self) -> None:
        [server] = yaml.safe_load((AWS / "workspace.yaml").read_text("utf-8"))["load_from"]
        grpc = server["grpc_server"]
        [name] = of("ServiceDiscovery::Service").values()
        [space] = of("ServiceDiscovery::PrivateDnsNamespace").values()
        assert grpc["host"] == f"{name['Name']}.{space['Name']}"
        [port] = CONTAINERS["CodeTask"]["PortMappings"]
        assert grpc["port"] == port["ContainerPort"]
        [plain] = yaml.safe_load((ROOT / "deploy" / "workspace.yaml").read_text())["load_from"]
        assert grpc["location_name"] == plain["grpc_server"]["location_name"]

    def test_no_container_has_privileges(self) -> None:
        for container in CONTAINERS.values():
            assert container["Privileged"] is False
            assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}

    def test_every_service_logs_and_is_watched(self) -> None:
        for name, container in CONTAINERS.items():
            assert container["LogConfiguration"]["Options"]["awslogs-group"] == {"Ref": "Logs"}
            assert name in {"DatabasesTask", "AqTask", "WorkerTask"} or container["HealthCheck"]
        alarms = of("CloudWatch::Alarm")
        assert all(a["AlarmActions"] == [{"Ref": "Alarms"}] for a in alarms.values())
        assert {"NoCodeAlarm", "NoDaemonAlarm", "NoApiAlarm", "DatabaseFullAlarm"} <= set(alarms)


class TestDevices:
    def test_the_drain_has_the_spool_of_the_endpoint(self) -> None:
        """And whoever makes a key has the file that the endpoint reads."""
        home = re.search(r"AQ_HOME=(\S+)", (ROOT / "Dockerfile").read_text("utf-8"))
        assert home
        found = {}
        for name, container in CONTAINERS.items():
            if "MountPoints" in container:
                [point] = certain(container["MountPoints"])
                [volume] = certain(RESOURCES[name]["Properties"]["Volumes"])
                assert point["SourceVolume"] == volume["Name"]
                how = volume["EFSVolumeConfiguration"]
                assert how["TransitEncryption"] == how["AuthorizationConfig"]["IAM"] == "ENABLED"
                spool = certain(variables(container)["AQ_DEVICES_SPOOL"])
                found[name] = (point["ContainerPath"], spool, str(how["FilesystemId"]))
        assert set(found) == {"IngestTask", "CodeTask", "WorkerTask", "AqTask"}
        [(folder, spool, _)] = set(found.values())
        assert Path(spool).is_relative_to(folder)
        assert folder == f"{home[1]}/devices"

    def test_it_is_there_only_where_a_name_is_given(self) -> None:
        devices = {"HasDevices", "HasRunningDevices", "HasWorkersAndDevices"}
        for name, resource in RESOURCES.items():
            of_devices = re.search("Ingest|Files|Devices", name) and name != "IngestRole"
            assert (resource.get("Condition") in devices) == bool(of_devices), name
        [port] = CONTAINERS["IngestTask"]["PortMappings"]
        assert port["ContainerPort"] == IngestSettings.model_fields["port"].default
        assert of("ElasticLoadBalancingV2::TargetGroup")["IngestTargets"]["Port"] == 8710


def certain(value: Any) -> Any:
    """A value as it is where there are devices."""
    return value["Fn::If"][1] if isinstance(value, dict) and "Fn::If" in value else value


@pytest.mark.server
class TestStart:
    def start(self, tmp_path: Path, **given: str) -> dict[str, str]:
        """The environment in which the script starts what it is given."""
        done = subprocess.run(
            ["sh", str(AWS / "start.sh"), "env"],
            env={
                "PATH": os.environ["PATH"],
                "DAGSTER_HOME": str(tmp_path),
                "AQ_DEPLOY": str(ROOT / "deploy"),
                **given,
            },
            check=True,
            capture_output=True,
            text=True,
        )
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    def test_passwords_become_parts_of_what_the_platform_reads(self, tmp_path: Path) -> None:
        environment = self.start(
            tmp_path,
            DAGSTER_PG_HOST="db.example.org",
            DAGSTER_PG_PORT="5432",
            WAREHOUSE_PG_PASSWORD="w1",
            REDIS_HOST="redis.example.org",
            REDIS_PASSWORD="r1",
        )
        kind, catalog, dsn = environment["AQ_WAREHOUSE"].split(":", 2)
        assert (kind, catalog) == ("ducklake", "postgres")
        assert parse_dsn(dsn) == {
            "host": "db.example.org",
            "port": "5432",
            "dbname": "warehouse",
            "user": "warehouse",
            "password": "w1",
        }
        assert environment["CELERY_BROKER_URL"].startswith("rediss://:r1@redis.example.org:6379/0")
        assert environment["CELERY_BROKER_URL"] == environment["CELERY_RESULT_BACKEND"]
        assert {"WAREHOUSE_PG_PASSWORD", "REDIS_PASSWORD"}.isdisjoint(environment)

    @pytest.mark.parametrize("name", ["dagster.yaml", "dagster.celery.yaml"])
    def test_the_instance_is_that_of_production_on_awss_own_store(
        self, name: str, tmp_path: Path
    ) -> None:
        self.start(tmp_path, INSTANCE=name)
        wanted = yaml.safe_load((ROOT / "deploy" / name).read_text("utf-8"))
        del wanted["compute_logs"]["config"]["endpoint_url"]
        assert yaml.safe_load((tmp_path / "dagster.yaml").read_text("utf-8")) == wanted

    def test_an_administrator_of_rds_can_make_the_databases(
        self, postgres: PostgresServer, tmp_path: Path
    ) -> None:
        """RDS' own may make roles and databases, and is no superuser."""
        server = parse_dsn(postgres.uri())
        script = CONTAINERS["DatabasesTask"]["Command"]
        assert script[:2] == ["sh", "-c"]
        with closing(psycopg2.connect(postgres.uri())) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("CREATE ROLE rds LOGIN PASSWORD 'r' CREATEROLE CREATEDB")
            try:
                subprocess.run(
                    script,
                    env={
                        "PATH": f"{programs()}:{os.environ['PATH']}",
                        "PGHOST": server["host"],
                        "PGPORT": server["port"],
                        "PGPASSWORD": "r",
                        "POSTGRES_USER": "rds",
                        "POSTGRES_DB": "postgres",
                        "DAGSTER_PG_PASSWORD": "d",
                        "WAREHOUSE_PG_PASSWORD": "w",
                    },
                    check=True,
                    cwd=tmp_path,
                )
                own = {**server, "user": "warehouse", "password": "w", "dbname": "warehouse"}
                with closing(psycopg2.connect(make_dsn(**own))) as reached:
                    reached.cursor().execute("CREATE TABLE own (n int)")
            finally:
                for name in ("dagster", "warehouse"):
                    cursor.execute(f"DROP DATABASE IF EXISTS {name}")
                    cursor.execute(f"DROP ROLE IF EXISTS {name}")
                cursor.execute("DROP ROLE rds")
