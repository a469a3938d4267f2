"""networks.yaml: each mistake gets one line that says where it is and how to mend it."""

from datetime import date
from pathlib import Path

import pytest

from aq_resources.failures import SettingsError
from aq_resources.network_settings import (
    Area,
    NetworkConfig,
    StationOverride,
    networks_path,
    read_networks,
)
from aq_resources.networks import known_networks
from aq_resources.project import PROJECT_ROOT

KNOWN = ("airqino", "openaq")
GOOD = """\
# a comment moves the lines
networks:
  airqino:
    start_date: 2023-09-10
    stations: ["283164601", "283181971"]
    overrides:
      "283164601": {name: SMART188, latitude: 5.3, longitude: -4.0, timezone: Africa/Abidjan}
"""


def load(folder: Path, text: str) -> dict[str, NetworkConfig]:
    """The networks of a file without a mistake; raises what is wrong with one."""
    path = folder / "networks.yaml"
    path.write_text(text, "utf-8")
    enabled, ill = read_networks(path, KNOWN)
    if ill:
        raise SettingsError("\n".join(ill.values()))
    return enabled


def test_good_file(tmp_path: Path) -> None:
    (config,) = load(tmp_path, GOOD).values()
    assert (config.name, config.start_date) == ("airqino", date(2023, 9, 10))
    assert config.stations == ("283164601", "283181971")
    override = StationOverride(
        name="SMART188", latitude=5.3, longitude=-4.0, timezone="Africa/Abidjan"
    )
    assert config.overrides == {"283164601": override}


def test_area_in_place_of_stations(tmp_path: Path) -> None:
    text = (
        "networks:\n  openaq:\n    start_date: 2024-01-01\n"
        "    area: {latitude: 5.3, longitude: -4.0, radius_km: 25}\n"
        '    overrides: {"7": {city: Abidjan}}\n'
    )
    assert load(tmp_path, text)["openaq"].area == Area(latitude=5.3, longitude=-4.0, radius_km=25)


def test_disabled_network_is_left_out(tmp_path: Path) -> None:
    text = GOOD.replace("    start_date", "    enabled: false\n    start_date")
    assert load(tmp_path, text) == {}


@pytest.mark.parametrize(
    ("old", "new", "line", "where", "says"),
    [
        pytest.param(
            "start_date:",
            "startdate:",
            4,
            "networks.airqino.startdate",
            "did you mean 'start_date'?",
            id="unknown-key",
        ),
        pytest.param(
            "networks:\n", "network:\n", 2, "network", "did you mean 'networks'?", id="unknown-root"
        ),
        pytest.param(
            "timezone:",
            "timezon:",
            7,
            "networks.airqino.overrides.283164601.timezon",
            "did you mean 'timezone'?",
            id="unknown-key-of-override",
        ),
        pytest.param(
            "    start_date: 2023-09-10\n",
            "",
            3,
            "networks.airqino.start_date",
            "missing; add `start_date: …`",
            id="missing-key",
        ),
        pytest.param(
            "  airqino:",
            "  airquino:",
            3,
            "networks.airquino",
            "no such network; did you mean 'airqino'? (known: airqino, openaq)",
            id="typo-in-network",
        ),
        pytest.param(
            '["283164601", "283181971"]',
            '["283164601", 283181971]',
            5,
            "networks.airqino.stations.1",
            'write "283181971" in quotes',
            id="id-not-quoted",
        ),
        pytest.param(
            '      "283164601":',
            "      283164601:",
            7,
            "networks.airqino.overrides.283164601",
            'write "283164601" in quotes',
            id="id-of-override-not-quoted",
        ),
        pytest.param(
            '      "283164601":',
            '      "283164610":',
            3,
            "networks.airqino",
            "name station '283164610', which is not under stations; did you mean '283164601'?",
            id="override-of-unknown-station",
        ),
        pytest.param(
            '["283164601", "283181971"]',
            '["283164601", "283164601"]',
            3,
            "networks.airqino",
            "'283164601' is listed twice",
            id="station-twice",
        ),
        pytest.param(
            '    stations: ["283164601", "283181971"]\n',
            "",
            3,
            "networks.airqino",
            'name the stations to take in: `stations: ["…"]`, or an `area`',
            id="no-stations",
        ),
        pytest.param(
            "Africa/Abidjan",
            "Africa/Abijan",
            7,
            "networks.airqino.overrides.283164601.timezone",
            "'Africa/Abijan' is no time zone; write an IANA name such as Africa/Abidjan",
            id="bad-time-zone",
        ),
        pytest.param(
            ", longitude: -4.0",
            "",
            7,
            "networks.airqino.overrides.283164601",
            "latitude and longitude go together",
            id="half-a-position",
        ),
        pytest.param(
            "latitude: 5.3",
            "latitude: 95.3",
            7,
            "networks.airqino.overrides.283164601.latitude",
            "less than or equal to 90",
            id="off-the-earth",
        ),
        pytest.param(
            "2023-09-10", "soon", 4, "networks.airqino.start_date", "is no day", id="bad-date"
        ),
        pytest.param(
            "    overrides:",
            "    span_days: 0\n    overrides:",
            6,
            "networks.airqino.span_days",
            "greater than or equal to 1",
            id="no-span",
        ),
    ],
)
def test_mistake_names_file_line_path_and_mend(
    tmp_path: Path, old: str, new: str, line: int, where: str, says: str
) -> None:
    assert old in GOOD
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, GOOD.replace(old, new))
    text = str(raised.value)
    assert f"{tmp_path / 'networks.yaml'}, line {line}: {where}" in text
    assert says in text
    assert raised.value.__cause__ is None


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("start_date:", "startdate:").replace("longitude: -4.0", "longitude: 400")
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, text)
    lines = str(raised.value).splitlines()
    assert len(lines) == 3  # unknown, missing, out of range
    assert all(str(tmp_path) in line for line in lines)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param('networks:\n  airqino:\n    stations: ["1"\n', 4, id="bracket"),
        pytest.param("networks:\n\tairqino:\n", 2, id="tab"),
        pytest.param("networks: {a: b: c}\n", 1, id="colon"),
    ],
)
def test_broken_yaml_names_the_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(SettingsError, match=f"networks.yaml, line {line}: not valid YAML"):
        load(tmp_path, text)


@pytest.mark.parametrize("text", ["", "# nothing\n", "- airqino\n", "airqino\n"])
def test_file_of_another_form_says_how_it_begins(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        SettingsError, match=r"networks.yaml, line 1: file: .*begin with `networks:`"
    ):
        load(tmp_path, text)


@pytest.mark.parametrize(
    "data", [b"networks: \x00", b"networks: \xff\xfe"], ids=["control-character", "not-utf8"]
)
def test_file_that_is_no_text_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "networks.yaml"
    path.write_bytes(data)
    with pytest.raises(SettingsError, match=r"networks\.yaml"):
        read_networks(path, KNOWN)


def test_missing_file_names_itself_and_the_variable(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.yaml"
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: no such file\. Set AQ_NETWORKS"):
        read_networks(path, KNOWN)


def test_the_projects_own_file_is_good() -> None:
    networks, ill = read_networks(PROJECT_ROOT / "networks.yaml", known_networks())
    assert "airqino" in networks
    assert ill == {}


@pytest.mark.parametrize("entry", ["{}", "", "[1]", "{start_date: soon}", '{stations: ["1"]}'])
@pytest.mark.parametrize("name", ["openaq", "openak"])
def test_a_wrong_entry_leaves_out_its_own_network_alone(
    tmp_path: Path, name: str, entry: str
) -> None:
    path = tmp_path / "networks.yaml"
    path.write_text(f"{GOOD}  {name}: {entry}\n", "utf-8")
    enabled, ill = read_networks(path, KNOWN)
    assert list(enabled) == ["airqino"]
    assert list(ill) == [name]
    assert all(
        line.startswith(f"{path}, line 8: networks.{name}") for line in ill[name].split("\n")
    )


def test_file_as_set_then_of_the_working_folder_then_the_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert networks_path(None) == PROJECT_ROOT / "networks.yaml"
    Path("networks.yaml").write_text(GOOD)
    assert networks_path(None).resolve() == tmp_path / "networks.yaml"
    assert networks_path(Path("other.yaml")) == Path("other.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            GOOD + "    start_date: 2024-01-01\n",
            "line 8: networks.airqino.start_date: the key is given twice",
            id="in an entry",
        ),
        pytest.param(
            GOOD.replace("name: SMART188,", "name: SMART188, name: SMART189,"),
            "networks.airqino.overrides.283164601.name: the key is given twice",
            id="in an override",
        ),
        pytest.param(
            GOOD + GOOD.split("networks:\n")[1],
            "line 8: the key is given twice",
            id="a network",
        ),
        pytest.param(
            GOOD.replace("name: SMART188", "country: NO"),
            'country: YAML takes this word for false: write "NO" in quotes',
            id="Norway",
        ),
        pytest.param(
            GOOD.replace("2023-09-10", "2024-1-1"),
            "start_date: '2024-1-1' is no day: write it as 2024-01-31",
            id="a day",
        ),
    ],
)
def test_what_yaml_takes_otherwise_gets_its_mend(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, text)
    assert said in str(raised.value)
