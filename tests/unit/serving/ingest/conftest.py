"""A bench for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aq_serving.ingest.settings import IngestSettings
from tests.unit.serving.ingest.ingest_bench import IngestBench

Make = Callable[..., IngestBench]


@pytest.fixture
def make(
    clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """Makes benches by the settings given."""
    monkeypatch.setenv("AQ_HOME", str(tmp_path / "home"))
    made: list[IngestBench] = []

    def make(root: Path | None = None, **wanted: Any) -> IngestBench:
        for name, value in wanted.items():
            monkeypatch.setenv(f"AQ_INGEST_{name.upper()}", str(value))
        made.append(IngestBench(root or tmp_path / "spool", IngestSettings()))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make: Make) -> IngestBench:
    return make()
