"""`networks.yaml`: which networks and stations are taken in, checked with readable errors."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from aq_resources.failures import SettingsError
from aq_resources.project import PROJECT_ROOT
from aq_science.stations import km_between, usable_zone


def _known_zone(value: Any) -> Any:
    if isinstance(value, str):
        zone = usable_zone(value)
        if zone is None:
            raise ValueError(
                f"{value!r} is no time zone; write an IANA name such as Africa/Abidjan"
            )
        return zone
    return value


TimeZone = Annotated[str, BeforeValidator(_known_zone)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StationOverride(_Strict):
    """What is known better here than upstream about one station."""

    name: str | None = None
    latitude: float | None = Field(None, ge=-90, le=90)
    longitude: float | None = Field(None, ge=-180, le=180)
    timezone: TimeZone | None = None
    city: str | None = None
    country: str | None = Field(None, min_length=2, max_length=2)

    @model_validator(mode="after")
    def _whole_position(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude go together: give both or neither")
        return self


class Area(_Strict):
    """Stations within `radius_km` of a point, for networks that can list them."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    radius_km: float = Field(gt=0)

    def km_to(self, latitude: float, longitude: float) -> float:
        """Great-circle distance of a place from the point."""
        return km_between((self.latitude, self.longitude), (latitude, longitude))


def is_group(entry: str) -> bool:
    """Whether an entry of `stations`, such as `cohort:…`, stands for a group of stations."""
    return ":" in entry


class NetworkConfig(_Strict):
    """One network's entry."""

    name: str = ""
    enabled: bool = True
    start_date: date
    stations: tuple[str, ...] = ()
    area: Area | None = None
    overrides: dict[str, StationOverride] = Field(default_factory=dict)
    span_days: int | None = Field(
        None,
        ge=1,
        description="Longest window of one request in a backfill; default: the client's own",
    )
    silent_after_hours: int = Field(
        6, ge=1, description="Hours without a newer reading after which a network counts as silent"
    )
    concurrent_pulls: int = Field(
        2, ge=1, description="Runs that may ask the network at once, of those the daemon starts"
    )

    @model_validator(mode="after")
    def _stations_known(self) -> Self:
        if not self.stations and self.area is None:
            raise ValueError('name the stations to take in: `stations: ["…"]`, or an `area`')
        repeated = sorted({s for s in self.stations if self.stations.count(s) > 1})
        if repeated:
            raise ValueError(f"station {repeated[0]!r} is listed twice")
        if self.stations and not any(is_group(entry) for entry in self.stations):
            for station in self.overrides:
                if station not in self.stations:
                    close = get_close_matches(station, self.stations, n=1)
                    hint = f"; did you mean {close[0]!r}?" if close else ""
                    raise ValueError(
                        f"overrides name station {station!r}, which is not under stations{hint}"
                    )
        return self


class _NetworksFile(_Strict):
    networks: dict[str, Any]


class Networks(NamedTuple):
    """What the file asks for: the enabled networks by name, and the mistakes of the others.

    A mistake in one entry leaves that network out and no other.
    """

    enabled: dict[str, NetworkConfig]
    invalid: dict[str, str]


def networks_path(configured: Path | None) -> Path:
    """The networks file: as set, else in the working folder, else the project's own."""
    if configured is not None:
        return configured
    local = Path("networks.yaml")
    return local if local.exists() else PROJECT_ROOT / "networks.yaml"


def read_networks(path: Path, known: tuple[str, ...]) -> Networks:
    """The networks of a file. `known`: those that have a client.

    What is wrong with an entry is reported by a line a mistake: file, line, path within the file,
    and what to write. Raises `SettingsError` of the same form where the file as a whole cannot be
    read.
    """
    tree, parsed = _read_file(path)
    twice = list(_keys_given_twice(tree))
    found = Networks({}, {})
    for name, entry in parsed.networks.items():
        where = ("networks", name)
        if name not in known:
            found.invalid[name] = (
                f"{path}, line {_line_of(tree, where)}: networks.{name}: no such network"
                f"{_suggest(name, known)} (known: {', '.join(known)})"
            )
            continue
        if own := [(place, line) for place, line in twice if place[1] == name]:
            found.invalid[name] = "\n".join(
                f"{path}, line {line}: {'.'.join(place)}: {_TWICE}" for place, line in own
            )
            continue
        try:
            config = NetworkConfig.model_validate(entry)
        except ValidationError as error:
            lines = [_explain(path, tree, (*where, *d["loc"]), d) for d in error.errors()]
            found.invalid[name] = "\n".join(lines)
            continue
        if config.enabled:
            found.enabled[name] = config.model_copy(update={"name": name})
    return found


def _read_file(path: Path) -> tuple[yaml.Node | None, _NetworksFile]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: no such file. Set AQ_NETWORKS to your networks file, or write one "
            "(docs/settings.md shows the form)."
        ) from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not a text file in UTF-8: {error}") from None
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SettingsError(f"{path}, line {line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {error}") from None
    for place, line in _keys_given_twice(tree):
        if len(place) <= 2:
            raise SettingsError(f"{path}, line {line}: {_TWICE}")
    try:
        parsed = _NetworksFile.model_validate(data)
    except ValidationError as error:
        lines = [_explain(path, tree, detail["loc"], detail) for detail in error.errors()]
        raise SettingsError("\n".join(lines)) from None
    return tree, parsed


_TWICE = "the key is given twice, and only one of its values would count: keep one"


def _keys_given_twice(
    node: yaml.Node | None, place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], int]]:
    """Path and second line of each key that a mapping has more than once."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            below = (*place, str(key.value))
            if key.value in seen:
                yield below, key.start_mark.line + 1
            seen.add(key.value)
            yield from _keys_given_twice(value, below)


def _explain(path: Path, tree: yaml.Node | None, place: tuple[int | str, ...], detail: Any) -> str:
    location = tuple(str(part) for part in place if part != "[key]")
    where = f"{path}, line {_line_of(tree, location)}: {'.'.join(location) or 'file'}"
    if detail["type"] == "extra_forbidden":
        fields = _fields_at(location)
        return f"{where}: unknown key{_suggest(location[-1], fields)} (known: {', '.join(fields)})"
    if detail["type"] == "missing":
        return f"{where}: missing; add `{location[-1]}: …`."
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "model_type" and len(location) == 2:
        message = "an entry has keys: `start_date: …` and `stations: […]`"
    elif detail["type"] == "model_type":
        message = "the file must begin with `networks:` and an entry for each network"
    if detail["type"].startswith("date"):
        message = f"{detail['input']!r} is no day: write it as 2024-01-31"
    if detail["type"] == "string_type" and isinstance(detail["input"], bool):
        # Norway's code is the best known of them.
        message = f'YAML takes this word for {str(detail["input"]).lower()}: write "NO" in quotes'
    if location[-2:-1] in (("stations",), ("overrides",)) and detail["type"] == "string_type":
        message = f'station ids are text: write "{detail["input"]}" in quotes'
    return f"{where}: {message}"


def _fields_at(location: tuple[str, ...]) -> tuple[str, ...]:
    models: dict[int, type[BaseModel]] = {1: _NetworksFile, 3: NetworkConfig}
    if len(location) >= 4 and location[2] == "overrides":
        model: type[BaseModel] = StationOverride
    elif len(location) >= 4 and location[2] == "area":
        model = Area
    else:
        model = models.get(len(location), NetworkConfig)
    return tuple(field for field in model.model_fields if field != "name" or len(location) > 3)


def _suggest(word: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _line_of(node: yaml.Node | None, location: tuple[str, ...]) -> int:
    """Line of the deepest part of `location` that the file holds."""
    line = 1 if node is None else node.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    line, node = key.start_mark.line + 1, value
                    break
            else:
                return line
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            return line
    return line
