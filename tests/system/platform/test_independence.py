"""Four networks in one installation, and no one's trouble is another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from aq_resources.networks import known_networks, network_is_pushed
from aq_resources.project import PROJECT_ROOT
from aq_sandbox.server import RunningSandbox
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import Invoke, days_ago
from tests.system.running import Platform, up

Entries = dict[str, dict[str, object]]


# Devices push: there is no server to ask.
ASKED = [name for name in known_networks() if not network_is_pushed(name)]


def entries() -> Entries:
    """The project's own networks that are asked, all enabled."""
    networks = yaml.safe_load((PROJECT_ROOT / "networks.yaml").read_text("utf-8"))["networks"]
    return {
        name: {**entry, "enabled": True, "start_date": days_ago(20)}
        for name, entry in networks.items()
        if name in ASKED
    }


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Installation, str]:
    """What `aq demo` makes of all of them, and says."""
    installation = Installation(tmp_path_factory.mktemp("all")).with_networks(**entries())
    return installation, installation.succeed("demo", "--days", "3").stdout


def test_the_demo_takes_in_every_network(shown: tuple[Installation, str]) -> None:
    installation, said = shown
    for network in ASKED:
        assert f"✓ {network}: pull, clean, average" in said
        assert f"✓ {network}: forecast" in said
    for table in ("stations", "hourly_readings", "daily_averages", "forecasts"):
        with installation.reader() as lake:
            found = lake.sql(f"SELECT DISTINCT network FROM air_quality.{table}").fetchall()
        assert {network for (network,) in found} == set(ASKED), table


@pytest.fixture(scope="module")
def platform(shown: tuple[Installation, str]) -> Iterator[Platform]:
    """`aq up --sandbox` on the demo's home, with an entry that is wrong."""
    wrong = entries()
    wrong["openaq"]["stations"] = [2178]
    installation = shown[0].with_networks(**wrong).with_settings(AQ_SENSORS="false")
    with up(installation, "--sandbox") as platform:
        yield platform


def test_the_ui_shows_the_networks_whose_entries_are_right(platform: Platform) -> None:
    [told] = [line for line in platform.running.said if line.startswith("aq: ")]
    assert "networks.openaq.stations.0" in told
    assert 'write "2178" in quotes' in told
    nodes = platform.ask("{ assetNodes { groupName } }")["assetNodes"]
    groups = {node["groupName"] for node in nodes}
    assert groups == {*ASKED, "air_quality", "upkeep"} - {"openaq"}


@pytest.fixture
def all_four(sandbox: RunningSandbox, tmp_path: Path) -> Callable[[Entries], Installation]:
    """An installation with these entries, its settings pointing at the sandbox."""

    def make(networks: Entries) -> Installation:
        return (
            Installation(tmp_path)
            .with_networks(**networks)
            .with_settings(**sandbox.environment, AQ_HTTP_ATTEMPTS="1")
        )

    return make


def test_one_without_its_key_and_one_with_a_wrong_entry_leave_the_others_alone(
    all_four: Callable[[Entries], Installation], invoke: Invoke
) -> None:
    wrong = entries()
    wrong["openaq"]["stations"] = [2178]
    installation = all_four(wrong).with_settings(AQ_AIRQO_TOKEN="")
    done = invoke(installation, "refresh")
    assert done.exit_code == 1
    for network in ("airqino", "irceline"):
        assert f"✓ {network}: forecast" in done.stdout
    assert "✗ airqo" in done.stdout
    lines = [line.strip() for line in done.stderr.splitlines()]
    assert [line for line in lines if "set AQ_AIRQO_TOKEN" in line]
    [told] = [line for line in lines if "openaq" in line]
    assert told.startswith("aq: ")
    assert f"{installation.folder / 'networks.yaml'}, line 1: networks.openaq.stations.0" in told

    # Who asks for a healthy one hears of no other.
    done = invoke(
        installation, "backfill", "irceline", "--start", days_ago(2), "--end", days_ago(2)
    )
    assert (done.exit_code, done.stderr) == (0, "")
    # Who asks for the invalid one alone gets the reason and nothing else.
    done = invoke(installation, "refresh", "openaq")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.strip() == told

    examined = invoke(installation, "doctor")
    assert examined.exit_code == 1
    marks = {line[2:].partition(": ")[0]: line[0] for line in examined.stdout.splitlines()}
    assert marks["networks"] == "✗"
    assert told.removeprefix("aq: ") in examined.stdout.replace("\n", "")
    found = {line[2:]: line[0] for line in examined.stdout.splitlines() if ": stations: " in line}
    healthy = {line.partition(":")[0] for line, mark in found.items() if mark == "✓"}
    assert healthy == {"airqino", "irceline"}
    assert any("set AQ_AIRQO_TOKEN" in line for line, mark in found.items() if mark == "✗")


@pytest.mark.parametrize(
    ("settings", "wrong", "says"),
    [
        ({"AQ_AIRQINO_USERNAME": "ana"}, "airqino", "AQ_AIRQINO_PASSWORD"),
        ({"AQ_OPENAQ_REQUESTS_PER_MINUTE": "many"}, "openaq", "AQ_OPENAQ_REQUESTS_PER_MINUTE"),
    ],
)
def test_a_wrong_setting_of_one_network_is_its_own(
    all_four: Callable[[Entries], Installation],
    invoke: Invoke,
    settings: dict[str, str],
    wrong: str,
    says: str,
) -> None:
    two = {name: entries()[name] for name in (wrong, "irceline")}
    installation = all_four(two).with_settings(**settings)
    day = ("--start", days_ago(2), "--end", days_ago(2))
    done = invoke(installation, "backfill", *day)
    assert done.exit_code == 1
    assert f"✗ {wrong}" in done.stdout
    assert "✓ irceline" in done.stdout
    assert says in done.stderr
    assert "Traceback" not in done.stderr
