"""Some seeds of the simulation; `python -m tests.system.faults.simulation` plays more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.faults import raw_checker
from tests.system.faults.simulation import (
    Servers,
    Tables,
    faults_of,
    four_servers,
    installation,
    undisturbed,
)
from tests.system.integration.harness import Installation

SEEDS = range(2)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with four_servers() as running:
        yield running


@pytest.fixture(scope="module")
def sound(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return installation(tmp_path_factory.mktemp("undisturbed"), servers)


@pytest.fixture(scope="module")
def expected(sound: Installation) -> Tables:
    return undisturbed(sound)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_goes_wrong_the_tables_are_those_of_an_undisturbed_run(
    seed: int, servers: Servers, expected: Tables, tmp_path: Path
) -> None:
    wrong = faults_of(seed, tmp_path, servers, expected)
    assert not wrong, "\n".join(wrong)


def test_the_independent_reading_sees_a_wrong_and_a_missing_value(
    sound: Installation, expected: Tables
) -> None:
    table = expected["airqino.hourly_readings"]
    folder = sound.home / "objects" / "airqino"
    assert raw_checker.differences(folder, "airqino", table) == []
    assert len(raw_checker.differences(folder, "airqino", table[1:])) == 1
    changed = table.with_columns(value_native=table["value_native"] + 1)
    assert len(raw_checker.differences(folder, "airqino", changed)) == len(table)
