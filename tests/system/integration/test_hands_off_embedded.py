"""The story of `hands_off_story` in files and SQLite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.integration.hands_off_laws import HandsOffLaws
from tests.system.integration.hands_off_story import Story, told
from tests.system.integration.harness import Installation


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with told(lambda name: Installation(tmp_path_factory.mktemp(name))) as story:
        yield story


class TestEmbedded(HandsOffLaws):
    """Everything below `AQ_HOME`."""
