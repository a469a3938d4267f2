"""The story of `hands_off_story` on S3 and Postgres."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server
from tests.system.integration.hands_off_laws import HandsOffLaws
from tests.system.integration.hands_off_story import Story, told
from tests.system.integration.harness import Installation


@pytest.fixture(scope="module")
def story(
    tmp_path_factory: pytest.TempPathFactory, s3: S3Server, postgres: PostgresServer
) -> Iterator[Story]:
    def make(name: str) -> Installation:
        return Installation(tmp_path_factory.mktemp(name)).in_production(
            s3,
            s3.create_bucket(name.replace("_", "-")),
            postgres.create_database(f"{name}_dagster"),
            postgres.create_database(f"{name}_lake"),
            "dagster.yaml",
        )

    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment.items():
            # This process reads the tables.
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        with told(make) as story:
            yield story


class TestProduction(HandsOffLaws):
    """Everything on the servers of `deploy/dagster.yaml`."""
