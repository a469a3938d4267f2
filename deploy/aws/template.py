"""The CloudFormation template of the platform on AWS: prints deploy/aws/air-quality.yaml.

    python deploy/aws/template.py > deploy/aws/air-quality.yaml      # make aws

One function a part, in the order of the file. What may talk to what is in `FLOWS`, what each
service gets in `services`; docs/deploying.md says how it is used. Not deployed by its authors.
"""

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from troposphere import (
    And,
    Equals,
    GetAtt,
    GetAZs,
    If,
    Join,
    Not,
    Output,
    Parameter,
    Ref,
    Select,
    Sub,
    Tags,
    Template,
    applicationautoscaling,
    cloudwatch,
    cognito,
    ec2,
    ecs,
    efs,
    elasticache,
    iam,
    logs,
    rds,
    s3,
    secretsmanager,
    servicediscovery,
    sns,
    wafv2,
)
from troposphere import elasticloadbalancingv2 as elb

DEPLOY = Path(__file__).resolve().parents[1]

INTERNAL_DOMAIN = "air-quality.internal"
UI_PORT, API_PORT, CODE_PORT, POSTGRES_PORT, REDIS_PORT = 3000, 8700, 4000, 5432, 6379
INGEST_PORT, NFS_PORT = 8710, 2049
# The user of the image (Dockerfile), and the folder in which it keeps devices' keys.
IMAGE_USER, DEVICES_FOLDER = "10001", "/var/lib/aq/devices"
ANYWHERE = "0.0.0.0/0"
HTTPS, SUBMISSION = 443, 587

FLOWS = [
    ("LoadBalancer", "Webserver", UI_PORT),
    ("LoadBalancer", "Api", API_PORT),
    ("LoadBalancer", "Ingest", INGEST_PORT),
    ("Webserver", "Code", CODE_PORT),
    ("Daemon", "Code", CODE_PORT),
    *(
        (name, "Database", POSTGRES_PORT)
        for name in ("Webserver", "Api", "Ingest", "Code", "Daemon", "Worker", "Task")
    ),
    # Who pushes and who drains have one spool.
    *((name, "Files", NFS_PORT) for name in ("Ingest", "Code", "Worker", "Task")),
    *((name, "Redis", REDIS_PORT) for name in ("Daemon", "Webserver", "Code", "Worker")),
]
"""Who may open a connection to whom, by security group, and at which port."""

NETWORK_SECRETS = [
    "AQ_AIRQINO_USERNAME",
    "AQ_AIRQINO_PASSWORD",
    "AQ_AIRQINO_CLIENT_ID",
    "AQ_AIRQINO_CLIENT_SECRET",
    "AQ_AIRQO_TOKEN",
    "AQ_DEVICES_SPOOL_TOKEN",
    "AQ_AIRQO_CLIENT_SECRET",
    "AQ_OPENAQ_API_KEY",
    "AQ_ALERT_WEBHOOK",
    "AQ_ALERT_SMTP_PASSWORD",
]
"""Settings that are secrets of others; an empty one counts as not set."""

CONDITIONS = {
    "Redis": "HasWorkers",
    "Worker": "HasWorkers",
    "Ingest": "HasDevices",
    "Files": "HasDevices",
}
"""What is not always there, and when it is."""


@dataclass(frozen=True)
class Service:
    """One long-running service of the platform.

    Attributes:
        name: Its name in the template, also of its security group, log group and role.
        command: What it starts.
        cpu: Units of a Fargate task, 1024 a core.
        memory: In MiB; CPU and memory have to be a pair that Fargate has.
        port: Where it listens, if it does.
        health: Command of its health check.
        writes: Whether it writes to the bucket.
        spool: Whether it has the folder of pushed readings.
        secrets: Whether it gets the networks' keys.
        alone: Whether a second one must never run beside it.
    """

    name: str
    command: Sequence[str]
    cpu: int
    memory: int
    port: int | None = None
    health: str | None = None
    writes: bool = False
    spool: bool = False
    secrets: bool = False
    alone: bool = False

    @property
    def slug(self) -> str:
        return self.name.lower()

    @property
    def workers(self) -> bool:
        return CONDITIONS.get(self.name) == "HasWorkers"

    @property
    def devices(self) -> bool:
        return CONDITIONS.get(self.name) == "HasDevices"

    @property
    def role(self) -> str:
        if self.devices:
            return "IngestRole"
        return "WritingRole" if self.writes else "ReadingRole"


WORKSPACE = "/app/deploy/aws/workspace.yaml"


def url_check(port: int, path: str) -> str:
    """A health check's command that asks for a page of the task itself."""
    return (
        f"python -c \"import urllib.request as u; u.urlopen('http://127.0.0.1:{port}{path}', "
        'timeout=8)"'
    )


SERVICES = [
    Service(
        "Code",
        [
            *("python", "-maq_platform.code_server", "-h", "0.0.0.0"),  # noqa: S104
            *("-p", str(CODE_PORT)),
            *("-m", "aq_platform.definitions"),
        ],
        2048,
        8192,
        port=CODE_PORT,
        spool=True,
        health=f"dagster api grpc-health-check -p {CODE_PORT}",
        writes=True,
        secrets=True,
        alone=True,
    ),
    Service(
        "Daemon",
        ["dagster-daemon", "run", f"-w{WORKSPACE}"],
        512,
        1024,
        health="dagster-daemon liveness-check",
        secrets=True,
        alone=True,
    ),
    Service(
        "Webserver",
        ["python", "-maq_platform.webserver", "-h0.0.0.0", f"-p{UI_PORT}", f"-w{WORKSPACE}"],
        512,
        1024,
        port=UI_PORT,
        health=url_check(UI_PORT, "/server_info"),
    ),
    Service(
        "Api",
        ["aq", "serve", "--host", "0.0.0.0", "--port", str(API_PORT)],  # noqa: S104
        1024,
        2048,
        port=API_PORT,
        health=url_check(API_PORT, "/healthz"),
    ),
    Service(
        "Ingest",
        ["aq", "ingest", "--host", "0.0.0.0", "--port", str(INGEST_PORT)],  # noqa: S104
        512,
        1024,
        port=INGEST_PORT,
        health=url_check(INGEST_PORT, "/healthz"),
        spool=True,
        # What it has written belongs to its process.
        alone=True,
    ),
    Service(
        "Worker",
        [
            *("celery", "-A", "dagster_celery.app", "worker", "--concurrency=1"),
            *("--max-tasks-per-child=1", "--disable-prefetch", "--loglevel=INFO"),
            *("--", "worker.redirect_stdouts=false"),
        ],
        1024,
        4096,
        writes=True,
        spool=True,
        secrets=True,
    ),
]


def when(*names: str) -> dict[str, Any]:
    """The attribute of a resource that is there only where all of these are."""
    conditions = {CONDITIONS[name] for name in names if name in CONDITIONS}
    if len(conditions) > 1:
        return {"Condition": "HasWorkersAndDevices"}
    return {"Condition": conditions.pop()} if conditions else {}


def tags(name: str) -> Tags:
    """The name by which people find a resource in the console."""
    return Tags(Name=Sub(f"${{AWS::StackName}}-{name}"))


def parameters(template: Template) -> None:
    """What differs between installations."""
    plain = {
        "Image": ("Address of the platform's image, by digest", None),
        "CertificateArn": ("Certificate of both host names, in this region", None),
        "ApiHostName": ("Host name of the API, such as air.example.org", None),
        "UiHostName": ("Host name of Dagster's UI, such as ui.air.example.org", None),
        "DeviceHostName": ("Host name at which devices push; empty: there are none", ""),
        "LoginPrefix": ("Prefix of the login page's address, unique in the region", None),
        "AlarmEmail": ("Who gets the alarms of this stack", None),
        "AlertEmailTo": ("AQ_ALERT_EMAIL_TO: receivers of the platform's own alerts", ""),
        "AlertSmtpHost": ("AQ_ALERT_SMTP_HOST", ""),
        "AlertSmtpUsername": ("AQ_ALERT_SMTP_USERNAME", ""),
        "DatabaseClass": ("Instance class of Postgres", "db.t4g.medium"),
    }
    for name, (text, default) in plain.items():
        given = {} if default is None else {"Default": default}
        template.add_parameter(Parameter(name, Type="String", Description=text, **given))
    for name, text in {
        "Started": "Whether the services run; false until the databases are prepared",
        "MultiAz": "Whether Postgres has a standby in the other zone",
    }.items():
        template.add_parameter(
            Parameter(
                name,
                Type="String",
                Description=text,
                AllowedValues=["true", "false"],
                Default="false",
            )
        )
    for name, text, number, least in [
        ("DatabaseGigabytes", "Disk of Postgres at the beginning", 20, 20),
        ("ApiMost", "Most tasks of the API", 4, 1),
        ("WorkerCount", "Celery workers, of an image with that extra; 0: runs are in `code`", 0, 0),
        ("LogDays", "Days for which the services' logs are kept", 30, 1),
        ("RequestsPerAddress", "Requests of one address in five minutes", 3000, 10),
    ]:
        template.add_parameter(
            Parameter(name, Type="Number", Description=text, Default=number, MinValue=least)
        )
    template.add_condition("IsStarted", Equals(Ref("Started"), "true"))
    template.add_condition("HasWorkers", Not(Equals(Ref("WorkerCount"), 0)))
    template.add_condition("HasDevices", Not(Equals(Ref("DeviceHostName"), "")))
    for name, parts in {
        "HasWorkersAndDevices": ("HasWorkers", "HasDevices"),
        "HasRunningDevices": ("HasDevices", "IsStarted"),
    }.items():
        template.add_condition(name, And(*({"Condition": part} for part in parts)))
    template.add_condition(
        "HasRunningWorkers", And({"Condition": "HasWorkers"}, {"Condition": "IsStarted"})
    )


def network(template: Template) -> None:
    """Two zones: the load balancer in public subnets, tasks and stores in private ones."""
    template.add_resource(
        ec2.VPC(
            "Vpc",
            CidrBlock="10.42.0.0/16",
            EnableDnsSupport=True,
            EnableDnsHostnames=True,
            Tags=tags("vpc"),
        )
    )
    template.add_resource(ec2.InternetGateway("Internet", Tags=tags("internet")))
    template.add_resource(
        ec2.VPCGatewayAttachment(
            "InternetAttachment", VpcId=Ref("Vpc"), InternetGatewayId=Ref("Internet")
        )
    )
    for kind in ("Public", "Private"):
        template.add_resource(
            ec2.RouteTable(f"{kind}Routes", VpcId=Ref("Vpc"), Tags=tags(kind.lower()))
        )
    for number, (kind, zone) in enumerate(
        itertools.product(("Public", "Private", "Stores"), range(2))
    ):
        name = f"{kind}Subnet{zone + 1}"
        template.add_resource(
            ec2.Subnet(
                name,
                VpcId=Ref("Vpc"),
                CidrBlock=f"10.42.{number * 16}.0/20",
                AvailabilityZone=Select(zone, GetAZs("")),
                MapPublicIpOnLaunch=False,
                Tags=tags(name),
            )
        )
        # Subnets of the stores have the VPC's own routes alone, which lead nowhere outside.
        if kind != "Stores":
            template.add_resource(
                ec2.SubnetRouteTableAssociation(
                    f"{name}Routes", SubnetId=Ref(name), RouteTableId=Ref(f"{kind}Routes")
                )
            )
    template.add_resource(
        ec2.EIP("NatAddress", Domain="vpc", DependsOn="InternetAttachment", Tags=tags("nat"))
    )
    template.add_resource(
        ec2.NatGateway(
            "Nat",
            AllocationId=GetAtt("NatAddress", "AllocationId"),
            SubnetId=Ref("PublicSubnet1"),
            Tags=tags("nat"),
        )
    )
    template.add_resource(
        ec2.Route(
            "PublicDefault",
            RouteTableId=Ref("PublicRoutes"),
            DestinationCidrBlock=ANYWHERE,
            GatewayId=Ref("Internet"),
            DependsOn="InternetAttachment",
        )
    )
    template.add_resource(
        ec2.Route(
            "PrivateDefault",
            RouteTableId=Ref("PrivateRoutes"),
            DestinationCidrBlock=ANYWHERE,
            NatGatewayId=Ref("Nat"),
        )
    )
    # What goes to the bucket costs nothing and does not pass the NAT gateway.
    template.add_resource(
        ec2.VPCEndpoint(
            "BucketEndpoint",
            VpcId=Ref("Vpc"),
            VpcEndpointType="Gateway",
            ServiceName=Sub("com.amazonaws.${AWS::Region}.s3"),
            RouteTableIds=[Ref("PrivateRoutes")],
        )
    )


def security_groups(template: Template) -> None:
    """A group each, and the flows between them; only the load balancer hears the internet."""
    for name in (
        *("LoadBalancer", "Database", "Redis", "Files", "Task"),
        *(service.name for service in SERVICES),
    ):
        # With no rule at all AWS lets everything out: this one lets nothing out.
        nothing = ec2.SecurityGroupRule(
            IpProtocol="icmp",
            FromPort=0,
            ToPort=0,
            CidrIp="127.0.0.1/32",
            Description="Nothing",
        )
        template.add_resource(
            ec2.SecurityGroup(
                f"{name}Group",
                GroupDescription=f"Air quality: {name}",
                VpcId=Ref("Vpc"),
                SecurityGroupEgress=[nothing],
                Tags=tags(name),
                **when(name),
            )
        )
    for source, target, port in FLOWS:
        attributes = when(source, target)
        template.add_resource(
            ec2.SecurityGroupIngress(
                f"{target}From{source}",
                GroupId=GetAtt(f"{target}Group", "GroupId"),
                SourceSecurityGroupId=GetAtt(f"{source}Group", "GroupId"),
                IpProtocol="tcp",
                FromPort=port,
                ToPort=port,
                **attributes,
            )
        )
        template.add_resource(
            ec2.SecurityGroupEgress(
                f"{source}To{target}",
                GroupId=GetAtt(f"{source}Group", "GroupId"),
                DestinationSecurityGroupId=GetAtt(f"{target}Group", "GroupId"),
                IpProtocol="tcp",
                FromPort=port,
                ToPort=port,
                **attributes,
            )
        )
    for port in (80, HTTPS):
        template.add_resource(
            ec2.SecurityGroupIngress(
                f"LoadBalancerFromInternet{port}",
                GroupId=GetAtt("LoadBalancerGroup", "GroupId"),
                CidrIp=ANYWHERE,
                IpProtocol="tcp",
                FromPort=port,
                ToPort=port,
            )
        )
    # AWS' own interfaces, the networks of the world and, of the load balancer, the login.
    for name in ("LoadBalancer", "Task", *(service.name for service in SERVICES)):
        outside(template, name, HTTPS)
    # The mail server of alerts.
    outside(template, "Daemon", SUBMISSION)


def outside(template: Template, name: str, port: int) -> None:
    """Let a group out to the internet at one port.

    Args:
        template: Gets the rule.
        name: Of the group.
        port: The only one.
    """
    template.add_resource(
        ec2.SecurityGroupEgress(
            f"{name}ToInternet{port}",
            GroupId=GetAtt(f"{name}Group", "GroupId"),
            CidrIp=ANYWHERE,
            IpProtocol="tcp",
            FromPort=port,
            ToPort=port,
            **when(name),
        )
    )


def statement(actions: Sequence[str], resources: Sequence[Any], **more: Any) -> dict[str, Any]:
    """One permission of a policy.

    Args:
        actions: What is allowed, each by its whole name.
        resources: On what.
        more: Other members, or others of these.
    """
    return {"Effect": "Allow", "Action": list(actions), "Resource": list(resources), **more}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    """A policy document of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def bucket(template: Template, name: str, rules: list[Any], *statements: dict[str, Any]) -> None:
    """A bucket that nobody outside reads, over TLS alone, that outlives the stack.

    Args:
        template: Gets the bucket and its policy.
        name: In the template.
        rules: Of its lifecycle.
        statements: Permissions of others on it.
    """
    template.add_resource(
        s3.Bucket(
            name,
            DeletionPolicy="Retain",
            UpdateReplacePolicy="Retain",
            BucketEncryption=s3.BucketEncryption(
                ServerSideEncryptionConfiguration=[
                    s3.ServerSideEncryptionRule(
                        ServerSideEncryptionByDefault=s3.ServerSideEncryptionByDefault(
                            SSEAlgorithm="AES256"
                        )
                    )
                ]
            ),
            PublicAccessBlockConfiguration=s3.PublicAccessBlockConfiguration(
                BlockPublicAcls=True,
                BlockPublicPolicy=True,
                IgnorePublicAcls=True,
                RestrictPublicBuckets=True,
            ),
            OwnershipControls=s3.OwnershipControls(
                Rules=[s3.OwnershipControlsRule(ObjectOwnership="BucketOwnerEnforced")]
            ),
            VersioningConfiguration=s3.VersioningConfiguration(Status="Enabled"),
            LifecycleConfiguration=s3.LifecycleConfiguration(
                Rules=[
                    s3.LifecycleRule(
                        Id="uploads",
                        Status="Enabled",
                        AbortIncompleteMultipartUpload=s3.AbortIncompleteMultipartUpload(
                            DaysAfterInitiation=7
                        ),
                    ),
                    # What was replaced or deleted can be had back for as long.
                    s3.LifecycleRule(
                        Id="versions",
                        Status="Enabled",
                        NoncurrentVersionExpiration=s3.NoncurrentVersionExpiration(
                            NoncurrentDays=30
                        ),
                    ),
                    *rules,
                ]
            ),
        )
    )
    tls = {
        "Sid": "OverTlsAlone",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [GetAtt(name, "Arn"), Sub(f"${{{name}.Arn}}/*")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    template.add_resource(
        s3.BucketPolicy(f"{name}Policy", Bucket=Ref(name), PolicyDocument=policy(tls, *statements))
    )


def stores(template: Template) -> None:
    """The bucket, Postgres, and Redis where there are workers."""
    bucket(template, "Bucket", [])
    bucket(
        template,
        "AccessLogs",
        [s3.LifecycleRule(Id="logs", Status="Enabled", ExpirationInDays=90)],
        statement(
            ["s3:PutObject"],
            [Sub("${AccessLogs.Arn}/*")],
            Principal={"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
        ),
    )
    subnets = [Ref("StoresSubnet1"), Ref("StoresSubnet2")]
    template.add_resource(
        rds.DBSubnetGroup(
            "DatabaseSubnets",
            DBSubnetGroupDescription="Air quality: Postgres",
            SubnetIds=subnets,
        )
    )
    template.add_resource(
        rds.DBParameterGroup(
            "DatabaseParameters",
            Family="postgres18",
            Description="Air quality: TLS alone",
            Parameters={"rds.force_ssl": "1"},
        )
    )
    template.add_resource(
        rds.DBInstance(
            "Database",
            DeletionPolicy="Snapshot",
            UpdateReplacePolicy="Snapshot",
            Engine="postgres",
            EngineVersion="18.1",
            DBInstanceClass=Ref("DatabaseClass"),
            AllocatedStorage=Ref("DatabaseGigabytes"),
            MaxAllocatedStorage=500,
            StorageType="gp3",
            StorageEncrypted=True,
            MultiAZ=Ref("MultiAz"),
            PubliclyAccessible=False,
            DBSubnetGroupName=Ref("DatabaseSubnets"),
            DBParameterGroupName=Ref("DatabaseParameters"),
            VPCSecurityGroups=[GetAtt("DatabaseGroup", "GroupId")],
            MasterUsername="postgres",
            ManageMasterUserPassword=True,
            BackupRetentionPeriod=14,
            PreferredBackupWindow="02:30-03:00",
            PreferredMaintenanceWindow="sun:03:30-sun:04:30",
            CopyTagsToSnapshot=True,
            DeletionProtection=True,
            AutoMinorVersionUpgrade=True,
            EnableCloudwatchLogsExports=["postgresql"],
            Tags=tags("postgres"),
        )
    )
    template.add_resource(
        elasticache.SubnetGroup(
            "RedisSubnets",
            Description="Air quality: Redis",
            SubnetIds=subnets,
            **when("Redis"),
        )
    )
    template.add_resource(
        elasticache.ReplicationGroup(
            "Redis",
            ReplicationGroupDescription="Air quality: what Celery's workers have under way",
            Engine="valkey",
            EngineVersion="8.0",
            CacheNodeType="cache.t4g.micro",
            NumCacheClusters=1,
            AutomaticFailoverEnabled=False,
            AtRestEncryptionEnabled=True,
            TransitEncryptionEnabled=True,
            AuthToken=Sub("{{resolve:secretsmanager:${RedisPassword}}}"),
            CacheSubnetGroupName=Ref("RedisSubnets"),
            SecurityGroupIds=[GetAtt("RedisGroup", "GroupId")],
            SnapshotRetentionLimit=1,
            **when("Redis"),
        )
    )


def secrets(template: Template) -> None:
    """Passwords that the stack makes, and the networks' keys, empty until they are filled in."""
    for name, text in {
        "DagsterPassword": "Password of the role dagster in Postgres",
        "WarehousePassword": "Password of the role warehouse in Postgres",
        "RedisPassword": "Password of Redis",
    }.items():
        template.add_resource(
            secretsmanager.Secret(
                name,
                Description=f"Air quality: {text}",
                # Letters and digits: it becomes a part of addresses.
                GenerateSecretString=secretsmanager.GenerateSecretString(
                    PasswordLength=40, ExcludePunctuation=True
                ),
                **(when("Redis") if name == "RedisPassword" else {}),
            )
        )
    empty = ", ".join(f'"{name}": ""' for name in NETWORK_SECRETS)
    template.add_resource(
        secretsmanager.Secret(
            "NetworkSecrets",
            Description="Air quality: keys of networks and alerts; an empty one is not set",
            SecretString=f"{{{empty}}}",
        )
    )


def assumed_by(service: str) -> dict[str, Any]:
    """The document that lets an AWS service take a role."""
    return policy(
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": ["sts:AssumeRole"]}
    )


def role(template: Template, name: str, *statements: dict[str, Any]) -> None:
    """A role of ECS tasks with one policy, if it has any.

    Args:
        template: Gets the role.
        name: In the template.
        statements: Its permissions.
    """
    inline = iam.Policy(PolicyName="own", PolicyDocument=policy(*statements))
    template.add_resource(
        iam.Role(
            name,
            AssumeRolePolicyDocument=assumed_by("ecs-tasks.amazonaws.com"),
            **({"Policies": [inline]} if statements else {}),
        )
    )


READ = ["s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"]
WRITE = [
    *("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"),
    *("s3:ListMultipartUploadParts", "s3:ListBucketMultipartUploads"),
]


def roles(template: Template) -> None:
    """What starts the tasks, and what the tasks themselves may do."""
    role(
        template,
        "StartingRole",
        # This one action has no resource.
        statement(["ecr:GetAuthorizationToken"], ["*"]),
        statement(
            ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"],
            [Sub("arn:${AWS::Partition}:ecr:${AWS::Region}:${AWS::AccountId}:repository/*")],
        ),
        statement(["logs:CreateLogStream", "logs:PutLogEvents"], [GetAtt("Logs", "Arn")]),
        statement(
            ["secretsmanager:GetSecretValue"],
            [
                Ref("DagsterPassword"),
                Ref("WarehousePassword"),
                Ref("NetworkSecrets"),
                GetAtt("Database", "MasterUserSecret.SecretArn"),
                If("HasWorkers", Ref("RedisPassword"), Ref("AWS::NoValue")),
            ],
        ),
    )
    everything = [GetAtt("Bucket", "Arn"), Sub("${Bucket.Arn}/*")]
    files = statement(
        ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
        [GetAtt("Files", "Arn")],
        Condition={
            "StringEquals": {"elasticfilesystem:AccessPointArn": GetAtt("DevicesFolder", "Arn")}
        },
    )
    mounting = If("HasDevices", files, Ref("AWS::NoValue"))
    role(template, "WritingRole", statement([*READ, *WRITE], everything), mounting)
    role(template, "ReadingRole", statement(READ, everything))
    role(template, "IngestRole", statement(READ, everything), mounting)


def files(template: Template) -> None:
    """A file system for the spool of pushed readings and the devices' keys.

    The spool is written by one task and drained by runs in others, which Fargate gives no disk in
    common. EFS keeps what is synced in all zones.
    """
    template.add_resource(
        efs.FileSystem(
            "Files",
            Encrypted=True,
            PerformanceMode="generalPurpose",
            ThroughputMode="elastic",
            BackupPolicy=efs.BackupPolicy(Status="ENABLED"),
            # Whoever mounts it has a role that may, speaks TLS, and sees its folder alone.
            FileSystemPolicy=policy(
                statement(
                    ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
                    ["*"],
                    # Of this account those whose own policy lets them.
                    Principal={"AWS": Sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")},
                    Condition={"Bool": {"aws:SecureTransport": "true"}},
                )
            ),
            DeletionPolicy="Retain",
            UpdateReplacePolicy="Retain",
            FileSystemTags=tags("devices"),
            **when("Files"),
        )
    )
    for zone in range(2):
        template.add_resource(
            efs.MountTarget(
                f"FilesIn{zone + 1}",
                FileSystemId=Ref("Files"),
                SubnetId=Ref(f"StoresSubnet{zone + 1}"),
                SecurityGroups=[GetAtt("FilesGroup", "GroupId")],
                **when("Files"),
            )
        )
    template.add_resource(
        efs.AccessPoint(
            "DevicesFolder",
            FileSystemId=Ref("Files"),
            PosixUser=efs.PosixUser(Uid=IMAGE_USER, Gid=IMAGE_USER),
            RootDirectory=efs.RootDirectory(
                Path="/devices",
                CreationInfo=efs.CreationInfo(
                    OwnerUid=IMAGE_USER, OwnerGid=IMAGE_USER, Permissions="0700"
                ),
            ),
            **when("Files"),
        )
    )


def where_devices(certain: bool, there: Any, otherwise: Any) -> Any:  # noqa: FBT001
    """One of two values, by whether devices push.

    Args:
        certain: Whether the resource is there only if they do.
        there: The value if they do.
        otherwise: The value if not.
    """
    return there if certain else If("HasDevices", there, otherwise)


def spool_volumes(*, certain: bool) -> Any:
    """Volumes of a task that has the devices' folder; `certain` as of `where_devices`."""
    volume = ecs.Volume(
        Name="devices",
        EFSVolumeConfiguration=ecs.EFSVolumeConfiguration(
            FilesystemId=Ref("Files"),
            TransitEncryption="ENABLED",
            AuthorizationConfig=ecs.AuthorizationConfig(
                AccessPointId=Ref("DevicesFolder"), IAM="ENABLED"
            ),
        ),
    )
    return where_devices(certain, [volume], Ref("AWS::NoValue"))


def spool_mounts(*, certain: bool) -> Any:
    """Where its container has it; `certain` as of `where_devices`."""
    point = ecs.MountPoint(SourceVolume="devices", ContainerPath=DEVICES_FOLDER, ReadOnly=False)
    return where_devices(certain, [point], Ref("AWS::NoValue"))


def cluster(template: Template) -> None:
    """Where the tasks run, how they find the code server, and where they log."""
    template.add_resource(
        ecs.Cluster(
            "Cluster",
            ClusterSettings=[ecs.ClusterSetting(Name="containerInsights", Value="enabled")],
        )
    )
    template.add_resource(
        servicediscovery.PrivateDnsNamespace("Names", Name=INTERNAL_DOMAIN, Vpc=Ref("Vpc"))
    )
    template.add_resource(
        servicediscovery.Service(
            "CodeName",
            Name="code",
            NamespaceId=Ref("Names"),
            DnsConfig=servicediscovery.DnsConfig(
                DnsRecords=[servicediscovery.DnsRecord(Type="A", TTL="10")]
            ),
            HealthCheckCustomConfig=servicediscovery.HealthCheckCustomConfig(FailureThreshold=1),
        )
    )
    template.add_resource(logs.LogGroup("Logs", RetentionInDays=Ref("LogDays")))


def where_workers(certain: bool, there: Any, otherwise: Any) -> Any:  # noqa: FBT001
    """One of two values, by whether there are Celery workers.

    Args:
        certain: Whether the resource is there only with them.
        there: The value with workers.
        otherwise: The value without.
    """
    return there if certain else If("HasWorkers", there, otherwise)


def environment(*, workers: bool = False, devices: bool = False) -> dict[str, Any]:
    """Variables of every task of the platform that are no secrets."""
    return {
        "INSTANCE": where_workers(workers, "dagster.celery.yaml", "dagster.yaml"),
        "DAGSTER_PG_HOST": GetAtt("Database", "Endpoint.Address"),
        "DAGSTER_PG_PORT": GetAtt("Database", "Endpoint.Port"),
        "DAGSTER_PG_DB": "dagster",
        "DAGSTER_PG_USER": "dagster",
        "DAGSTER_EVENT_BATCH_SIZE": "500",
        "AQ_BUCKET": Ref("Bucket"),
        "AQ_OBJECT_STORE": Sub("s3://${Bucket}/objects"),
        "AQ_WAREHOUSE_DATA": Sub("s3://${Bucket}/warehouse"),
        # Without the folder there is nothing to drain; empty counts as not set.
        "AQ_DEVICES_SPOOL": where_devices(devices, f"{DEVICES_FOLDER}/spool", ""),
        "AQ_UI_HOSTS": Ref("UiHostName"),
        "AQ_UI_URL": Sub("https://${UiHostName}"),
        "AQ_ALERT_EMAIL_TO": Ref("AlertEmailTo"),
        "AQ_ALERT_SMTP_HOST": Ref("AlertSmtpHost"),
        "AQ_ALERT_SMTP_USERNAME": Ref("AlertSmtpUsername"),
        "AWS_DEFAULT_REGION": Ref("AWS::Region"),
        "REDIS_HOST": where_workers(workers, GetAtt("Redis", "PrimaryEndPoint.Address"), ""),
    }


def secret_variables(*, networks: bool, workers: bool = False) -> list[Any]:
    """Variables of a task that come from Secrets Manager."""
    redis = ecs.Secret(Name="REDIS_PASSWORD", ValueFrom=Ref("RedisPassword"))
    own = [
        ecs.Secret(Name="DAGSTER_PG_PASSWORD", ValueFrom=Ref("DagsterPassword")),
        ecs.Secret(Name="WAREHOUSE_PG_PASSWORD", ValueFrom=Ref("WarehousePassword")),
        where_workers(workers, redis, Ref("AWS::NoValue")),
    ]
    keys = [
        ecs.Secret(Name=name, ValueFrom=Sub(f"${{NetworkSecrets}}:{name}::"))
        for name in NETWORK_SECRETS
    ]
    return own + (keys if networks else [])


def container(
    name: str, image: Any, command: Sequence[str], variables: dict[str, Any], **more: Any
) -> ecs.ContainerDefinition:
    """The one container of a task: no privileges, and its output in the log group.

    Args:
        name: Of the container, and of its log streams.
        image: Address of its image.
        command: What it starts.
        variables: Of its environment.
        more: Other properties.
    """
    return ecs.ContainerDefinition(
        Name=name,
        Image=image,
        Command=list(command),
        Essential=True,
        Privileged=False,
        LinuxParameters=ecs.LinuxParameters(
            InitProcessEnabled=True, Capabilities=ecs.KernelCapabilities(Drop=["ALL"])
        ),
        Environment=[ecs.Environment(Name=key, Value=value) for key, value in variables.items()],
        LogConfiguration=ecs.LogConfiguration(
            LogDriver="awslogs",
            Options={
                "awslogs-group": Ref("Logs"),
                "awslogs-region": Ref("AWS::Region"),
                "awslogs-stream-prefix": name,
            },
        ),
        **more,
    )


def task(name: str, cpu: int, memory: int, own_role: str, main: Any, **more: Any) -> Any:
    """A task definition for Fargate.

    Args:
        name: In the template.
        cpu: Units, 1024 a core.
        memory: In MiB.
        own_role: Role of what runs in it.
        main: Its container.
        more: Other attributes.
    """
    return ecs.TaskDefinition(
        name,
        Family=Sub(f"${{AWS::StackName}}-{name.removesuffix('Task').lower()}"),
        RequiresCompatibilities=["FARGATE"],
        NetworkMode="awsvpc",
        Cpu=str(cpu),
        Memory=str(memory),
        RuntimePlatform=ecs.RuntimePlatform(
            CpuArchitecture="X86_64", OperatingSystemFamily="LINUX"
        ),
        ExecutionRoleArn=GetAtt("StartingRole", "Arn"),
        TaskRoleArn=GetAtt(own_role, "Arn"),
        ContainerDefinitions=[main],
        **more,
    )


def services(template: Template) -> None:
    """The long-running services."""
    for service in SERVICES:
        more: dict[str, Any] = {
            "Secrets": secret_variables(networks=service.secrets, workers=service.workers),
            "StopTimeout": 120,
        }
        if service.port:
            more["PortMappings"] = [ecs.PortMapping(ContainerPort=service.port)]
        if service.health:
            more["HealthCheck"] = ecs.HealthCheck(
                Command=["CMD-SHELL", service.health],
                Interval=60,
                Timeout=30,
                Retries=3,
                StartPeriod=120,
            )
        attributes = when(service.name)
        shared: dict[str, Any] = {}
        if service.spool:
            more["MountPoints"] = spool_mounts(certain=service.devices)
            shared["Volumes"] = spool_volumes(certain=service.devices)
        template.add_resource(
            task(
                f"{service.name}Task",
                service.cpu,
                service.memory,
                service.role,
                container(
                    service.slug,
                    Ref("Image"),
                    ["/app/deploy/aws/start.sh", *service.command],
                    environment(workers=service.workers, devices=service.devices),
                    **more,
                ),
                **shared,
                **attributes,
            )
        )
        template.add_resource(fargate_service(service, attributes))


def fargate_service(service: Service, attributes: dict[str, Any]) -> ecs.Service:
    """A service's tasks in the private subnets.

    Args:
        service: Which one.
        attributes: Of the resource.
    """
    more: dict[str, Any] = {}
    if service.name == "Code":
        more["ServiceRegistries"] = [ecs.ServiceRegistry(RegistryArn=GetAtt("CodeName", "Arn"))]
    if service.name in ("Webserver", "Api", "Ingest"):
        more["LoadBalancers"] = [
            ecs.LoadBalancer(
                ContainerName=service.slug,
                ContainerPort=service.port,
                TargetGroupArn=Ref(f"{service.name}Targets"),
            )
        ]
        more["DependsOn"] = [f"{service.name}Rule"]
    if service.name == "Ingest":
        more["DependsOn"] += ["FilesIn1", "FilesIn2"]
    count: Any = If("IsStarted", 1, 0)
    if service.workers:
        count = If("HasRunningWorkers", Ref("WorkerCount"), 0)
    return ecs.Service(
        f"{service.name}Service",
        Cluster=Ref("Cluster"),
        LaunchType="FARGATE",
        DesiredCount=count,
        TaskDefinition=Ref(f"{service.name}Task"),
        EnableExecuteCommand=False,
        PropagateTags="SERVICE",
        # Of what must be alone, the old one ends before the new one starts.
        DeploymentConfiguration=ecs.DeploymentConfiguration(
            MinimumHealthyPercent=0 if service.alone else 100,
            MaximumPercent=100 if service.alone else 200,
            DeploymentCircuitBreaker=ecs.DeploymentCircuitBreaker(Enable=True, Rollback=True),
        ),
        NetworkConfiguration=ecs.NetworkConfiguration(
            AwsvpcConfiguration=ecs.AwsvpcConfiguration(
                AssignPublicIp="DISABLED",
                Subnets=[Ref("PrivateSubnet1"), Ref("PrivateSubnet2")],
                SecurityGroups=[GetAtt(f"{service.name}Group", "GroupId")],
            )
        ),
        Tags=tags(service.name),
        **more,
        **attributes,
    )


def tasks(template: Template) -> None:
    """What is run by hand: roles and databases once, `aq` for whatever there is to do."""
    script = (DEPLOY / "postgres-init.sh").read_text()
    master = GetAtt("Database", "MasterUserSecret.SecretArn")
    template.add_resource(
        task(
            "DatabasesTask",
            256,
            512,
            "ReadingRole",
            container(
                "databases",
                "public.ecr.aws/docker/library/postgres:18",
                ["sh", "-c", script],
                {
                    "PGHOST": GetAtt("Database", "Endpoint.Address"),
                    "PGSSLMODE": "require",
                },
                Secrets=[
                    ecs.Secret(Name="PGPASSWORD", ValueFrom=Sub("${Arn}:password::", Arn=master)),
                    *(
                        variable
                        for variable in secret_variables(networks=False)
                        if isinstance(variable, ecs.Secret)
                    ),
                ],
            ),
        )
    )
    template.add_resource(
        task(
            "AqTask",
            1024,
            4096,
            "WritingRole",
            container(
                "aq",
                Ref("Image"),
                ["/app/deploy/aws/start.sh", "aq", "prepare"],
                environment(),
                Secrets=secret_variables(networks=True),
                MountPoints=spool_mounts(certain=False),
            ),
            Volumes=spool_volumes(certain=False),
        )
    )


def login(template: Template) -> None:
    """Who is let in to Dagster's UI: people that an administrator adds, with a second factor."""
    template.add_resource(
        cognito.UserPool(
            "People",
            DeletionProtection="ACTIVE",
            AdminCreateUserConfig=cognito.AdminCreateUserConfig(AllowAdminCreateUserOnly=True),
            MfaConfiguration="ON",
            EnabledMfas=["SOFTWARE_TOKEN_MFA"],
            UsernameAttributes=["email"],
            Policies=cognito.Policies(PasswordPolicy=cognito.PasswordPolicy(MinimumLength=14)),
            AccountRecoverySetting=cognito.AccountRecoverySetting(
                RecoveryMechanisms=[
                    cognito.RecoveryOption(Name="admin_only", Priority=1),
                ]
            ),
        )
    )
    template.add_resource(
        cognito.UserPoolDomain("LoginPage", Domain=Ref("LoginPrefix"), UserPoolId=Ref("People"))
    )
    template.add_resource(
        cognito.UserPoolClient(
            "LoginClient",
            UserPoolId=Ref("People"),
            GenerateSecret=True,
            AllowedOAuthFlowsUserPoolClient=True,
            AllowedOAuthFlows=["code"],
            AllowedOAuthScopes=["openid"],
            SupportedIdentityProviders=["COGNITO"],
            CallbackURLs=[Sub("https://${UiHostName}/oauth2/idpresponse")],
        )
    )


def load_balancer(template: Template) -> None:
    """The one thing that the internet reaches: TLS, a name each, a login before the UI."""
    template.add_resource(
        elb.LoadBalancer(
            "LoadBalancer",
            Type="application",
            Scheme="internet-facing",
            Subnets=[Ref("PublicSubnet1"), Ref("PublicSubnet2")],
            SecurityGroups=[GetAtt("LoadBalancerGroup", "GroupId")],
            LoadBalancerAttributes=[
                elb.LoadBalancerAttributes(Key=key, Value=value)
                for key, value in {
                    "deletion_protection.enabled": "true",
                    "routing.http.drop_invalid_header_fields.enabled": "true",
                    "idle_timeout.timeout_seconds": "300",
                    "access_logs.s3.enabled": "true",
                    "access_logs.s3.bucket": Ref("AccessLogs"),
                }.items()
            ],
            DependsOn=["AccessLogsPolicy", "InternetAttachment"],
            Tags=tags("public"),
        )
    )
    template.add_resource(
        elb.Listener(
            "Plain",
            LoadBalancerArn=Ref("LoadBalancer"),
            Port=80,
            Protocol="HTTP",
            DefaultActions=[
                elb.Action(
                    Type="redirect",
                    RedirectConfig=elb.RedirectConfig(
                        Protocol="HTTPS", Port="443", StatusCode="HTTP_301"
                    ),
                )
            ],
        )
    )
    template.add_resource(
        elb.Listener(
            "Tls",
            LoadBalancerArn=Ref("LoadBalancer"),
            Port=HTTPS,
            Protocol="HTTPS",
            SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
            Certificates=[elb.Certificate(CertificateArn=Ref("CertificateArn"))],
            DefaultActions=[
                elb.Action(
                    Type="fixed-response",
                    FixedResponseConfig=elb.FixedResponseConfig(
                        StatusCode="404", ContentType="text/plain", MessageBody="No such name."
                    ),
                )
            ],
        )
    )
    asked_to_log_in = elb.ListenerRuleAction(
        Type="authenticate-cognito",
        Order=1,
        AuthenticateCognitoConfig=elb.AuthenticateCognitoConfig(
            UserPoolArn=GetAtt("People", "Arn"),
            UserPoolClientId=Ref("LoginClient"),
            UserPoolDomain=Ref("LoginPage"),
            SessionTimeout=28800,
            OnUnauthenticatedRequest="authenticate",
        ),
    )
    # The guard before the UI answers 421 to a name that it does not know, such as an address.
    for priority, name, port, path, codes, host, before in [
        (10, "Webserver", UI_PORT, "/server_info", "200,421", "UiHostName", [asked_to_log_in]),
        (20, "Api", API_PORT, "/readyz", "200", "ApiHostName", []),
        (30, "Ingest", INGEST_PORT, "/healthz", "200", "DeviceHostName", []),
    ]:
        template.add_resource(
            elb.TargetGroup(
                f"{name}Targets",
                VpcId=Ref("Vpc"),
                TargetType="ip",
                Protocol="HTTP",
                Port=port,
                HealthCheckPath=path,
                HealthCheckTimeoutSeconds=10,
                Matcher=elb.Matcher(HttpCode=codes),
                TargetGroupAttributes=[
                    elb.TargetGroupAttribute(Key="deregistration_delay.timeout_seconds", Value="30")
                ],
                **when(name),
            )
        )
        template.add_resource(
            elb.ListenerRule(
                f"{name}Rule",
                ListenerArn=Ref("Tls"),
                Priority=priority,
                Conditions=[
                    elb.Condition(
                        Field="host-header",
                        HostHeaderConfig=elb.HostHeaderConfig(Values=[Ref(host)]),
                    )
                ],
                Actions=[
                    *before,
                    elb.ListenerRuleAction(
                        Type="forward", Order=2, TargetGroupArn=Ref(f"{name}Targets")
                    ),
                ],
                **when(name),
            )
        )


def limits(template: Template) -> None:
    """Requests of one address are bounded, and the API gets more tasks when it is busy."""
    visible = wafv2.VisibilityConfig(
        CloudWatchMetricsEnabled=True, MetricName="requests", SampledRequestsEnabled=False
    )
    template.add_resource(
        wafv2.WebACL(
            "Limits",
            Scope="REGIONAL",
            DefaultAction=wafv2.DefaultAction(Allow=wafv2.AllowAction()),
            VisibilityConfig=visible,
            Rules=[
                wafv2.WebACLRule(
                    Name="requests-of-one-address",
                    Priority=1,
                    Action=wafv2.RuleAction(Block=wafv2.BlockAction()),
                    VisibilityConfig=visible,
                    Statement=wafv2.Statement(
                        RateBasedStatement=wafv2.RateBasedStatement(
                            AggregateKeyType="IP", Limit=Ref("RequestsPerAddress")
                        )
                    ),
                )
            ],
        )
    )
    template.add_resource(
        wafv2.WebACLAssociation(
            "LimitsOfLoadBalancer",
            ResourceArn=Ref("LoadBalancer"),
            WebACLArn=GetAtt("Limits", "Arn"),
        )
    )
    template.add_resource(
        applicationautoscaling.ScalableTarget(
            "ApiScale",
            ServiceNamespace="ecs",
            ScalableDimension="ecs:service:DesiredCount",
            ResourceId=Sub("service/${Cluster}/${ApiService.Name}"),
            MinCapacity=If("IsStarted", 1, 0),
            MaxCapacity=If("IsStarted", Ref("ApiMost"), 0),
        )
    )
    template.add_resource(
        applicationautoscaling.ScalingPolicy(
            "ApiScaling",
            PolicyName="busy",
            PolicyType="TargetTrackingScaling",
            ScalingTargetId=Ref("ApiScale"),
            TargetTrackingScalingPolicyConfiguration=(
                applicationautoscaling.TargetTrackingScalingPolicyConfiguration(
                    TargetValue=60,
                    PredefinedMetricSpecification=(
                        applicationautoscaling.PredefinedMetricSpecification(
                            PredefinedMetricType="ECSServiceAverageCPUUtilization"
                        )
                    ),
                )
            ),
        )
    )


def alarms(template: Template) -> None:
    """What is wrong with the machinery; the platform's own alerts say what is with the data."""
    template.add_resource(
        sns.Topic(
            "Alarms", Subscription=[sns.Subscription(Protocol="email", Endpoint=Ref("AlarmEmail"))]
        )
    )
    in_cluster = {"ClusterName": Ref("Cluster")}
    balancer = {"LoadBalancer": GetAtt("LoadBalancer", "LoadBalancerFullName")}
    database = {"DBInstanceIdentifier": Ref("Database")}
    alarm = (template, "LessThanThreshold")
    for service in ("Code", "Daemon", "Webserver", "Api", "Ingest"):
        own = {**in_cluster, "ServiceName": GetAtt(f"{service}Service", "Name")}
        metric = ("ECS/ContainerInsights", "RunningTaskCount", own)
        condition = "HasRunningDevices" if service == "Ingest" else "IsStarted"
        add_alarm(*alarm, f"No{service}", metric, 1, missing="breaching", condition=condition)
    code = {**in_cluster, "ServiceName": GetAtt("CodeService", "Name")}
    above = (template, "GreaterThanThreshold")
    add_alarm(*above, "MemoryOfRuns", ("AWS/ECS", "MemoryUtilization", code), 90)
    for name in ("Webserver", "Api", "Ingest"):
        target = {**balancer, "TargetGroup": GetAtt(f"{name}Targets", "TargetGroupFullName")}
        metric = ("AWS/ApplicationELB", "UnHealthyHostCount", target)
        add_alarm(*above, f"{name}Unhealthy", metric, 0, condition=CONDITIONS.get(name))
    errors = ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", balancer)
    add_alarm(*above, "ServerErrors", errors, 20)
    add_alarm(*above, "DatabaseBusy", ("AWS/RDS", "CPUUtilization", database), 85)
    disk = ("AWS/RDS", "FreeStorageSpace", database)
    add_alarm(*alarm, "DatabaseFull", disk, 3 * 1024**3)


def add_alarm(
    template: Template,
    comparison: str,
    name: str,
    metric: tuple[str, str, dict[str, Any]],
    threshold: float,
    *,
    missing: str = "notBreaching",
    condition: str | None = None,
) -> None:
    """An alarm after a quarter of an hour, and its end.

    Args:
        template: Gets the alarm.
        comparison: Of the metric with the threshold.
        name: In the template.
        metric: Its namespace, name and dimensions.
        threshold: What is compared with.
        missing: What it means where nothing is measured.
        condition: When it is there; always without.
    """
    namespace, measured, dimensions = metric
    template.add_resource(
        cloudwatch.Alarm(
            f"{name}Alarm",
            Namespace=namespace,
            MetricName=measured,
            Dimensions=[
                cloudwatch.MetricDimension(Name=key, Value=value)
                for key, value in dimensions.items()
            ],
            Statistic="Sum" if measured.endswith("_Count") else "Average",
            Period=300,
            EvaluationPeriods=3,
            ComparisonOperator=comparison,
            Threshold=threshold,
            TreatMissingData=missing,
            AlarmActions=[Ref("Alarms")],
            OKActions=[Ref("Alarms")],
            **({} if condition is None else {"Condition": condition}),
        )
    )


def outputs(template: Template) -> None:
    """What the steps of docs/deploying.md need."""
    private = Join(",", [Ref("PrivateSubnet1"), Ref("PrivateSubnet2")])
    for name, value in {
        "LoadBalancerName": GetAtt("LoadBalancer", "DNSName"),
        "ClusterName": Ref("Cluster"),
        "BucketName": Ref("Bucket"),
        "DatabasesTaskName": Ref("DatabasesTask"),
        "AqTaskName": Ref("AqTask"),
        "TaskNetwork": Sub(
            "awsvpcConfiguration={subnets=[${Private}],securityGroups=[${TaskGroup.GroupId}],"
            "assignPublicIp=DISABLED}",
            Private=private,
        ),
        "NetworkSecretsArn": Ref("NetworkSecrets"),
        "PeoplePool": Ref("People"),
    }.items():
        template.add_output(Output(name, Value=value))


def build() -> Template:
    """The whole template."""
    template = Template(Description="Air-quality platform. Written and checked, not deployed.")
    for part in (
        *(parameters, network, security_groups, stores, files, secrets, roles, cluster, services),
        *(tasks, login, load_balancer, limits, alarms, outputs),
    ):
        part(template)
    return template


def main() -> None:
    """Print the template as YAML, which yaml.safe_load reads."""
    sys.stdout.write(
        "# Written by deploy/aws/template.py: `make aws`. Not deployed by its authors.\n"
        + yaml.safe_dump(build().to_dict(), sort_keys=False, width=100)
    )


if __name__ == "__main__":
    main()
