"""The query options of a request, nested ones included, and what they may ask for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from aq_serving.problems import bad_request
from aq_serving.sensorthings.model import ENTITY_SETS, EntitySet
from aq_serving.sensorthings.odata import Path

DEFAULT_TOP = 100
MOST_TOP = 10_000
MOST_SKIP = 100_000
DEEPEST_EXPAND = 5
_LONGEST = 8000

_NAMES = ("$filter", "$expand", "$select", "$orderby", "$top", "$skip", "$count")
# Of whole answers alone.
_OUTER = ("$resultFormat", "$skiptoken")
_WORD = re.compile(r"(?:@iot\.)?\w+(?:/\w+)*")


@dataclass(frozen=True)
class Options:
    """What a request wants of a set of entities.

    Attributes:
        filter: Text of `$filter`.
        orderby: Paths, and whether each is turned round.
        top: Most entities; None without a wish.
        skip: Entities to leave out first.
        count: Whether to say how many there are.
        select: Members to show; None for all.
        expand: Related entities to show, by relation.
        data_array: Whether Observations come as arrays.
        token: Where the page before ended.
        texts: The options as they came, for addresses of further pages.
    """

    filter: str | None = None
    orderby: tuple[tuple[Path, bool], ...] = ()
    top: int | None = None
    skip: int = 0
    count: bool = False
    select: tuple[str, ...] | None = None
    expand: Mapping[str, Options] = field(default_factory=dict)
    data_array: bool = False
    token: str | None = None
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def limit(self) -> int:
        """Most entities of a page."""
        return DEFAULT_TOP if self.top is None else min(self.top, MOST_TOP)

    def query(self, **changed: str | None) -> str:
        """The options as the query of an address.

        Args:
            changed: Options without `$` that are others; None leaves one out.

        Returns:
            The text, `?` included.
        """
        named = {f"${name}": value for name, value in changed.items()}
        texts = {**self.texts, **named}
        parts = [
            f"{name}={quote(text, safe=_SAFE)}" for name, text in texts.items() if text is not None
        ]
        return "?" + "&".join(parts) if parts else ""


# What a query may have as it is (RFC 3986), without what would end or change a value.
_SAFE = "$()/',:;@!*="


def parse_options(pairs: Iterable[tuple[str, str]], entities: EntitySet) -> Options:
    """The options of a request.

    Args:
        pairs: Names and values of its query.
        entities: What is asked for.

    Returns:
        The options.

    Raises:
        ProblemError: One is unknown, wrong, or given twice.
    """
    texts: dict[str, str] = {}
    for name, text in pairs:
        # The standard writes it without the sign, FROST with it.
        known = "$resultFormat" if name == "resultFormat" else name
        if known not in (*_NAMES, *_OUTER):
            raise bad_request(
                f"There is no query option {name[:40]}; there are {', '.join((*_NAMES, *_OUTER))}.",
                name[:40],
            )
        if known in texts:
            raise bad_request(f"{known} is given twice.", known)
        texts[known] = text
    if sum(map(len, texts.values())) > _LONGEST:
        raise bad_request(f"The query options may have {_LONGEST} characters.")
    return _options(texts, entities, 1)


def _options(texts: Mapping[str, str], entities: EntitySet, depth: int) -> Options:
    form = texts.get("$resultFormat")
    if form not in (None, "dataArray"):
        raise bad_request("$resultFormat is dataArray, or left out.", "$resultFormat")
    count = texts.get("$count", "false")
    if count not in ("true", "false"):
        raise bad_request("$count is true or false.", "$count")
    return Options(
        filter=texts.get("$filter"),
        orderby=tuple(_orderby(texts.get("$orderby", ""))),
        top=_number(texts, "$top"),
        skip=_number(texts, "$skip") or 0,
        count=count == "true",
        select=_select(texts.get("$select"), entities),
        expand=_expand(texts.get("$expand", ""), entities, depth),
        data_array=form is not None,
        token=texts.get("$skiptoken"),
        texts=dict(texts),
    )


def _number(texts: Mapping[str, str], name: str) -> int | None:
    text = texts.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()):
        raise bad_request(f"{name} is a number of entities, 0 or more.", name)
    number = int(text)
    if name == "$skip" and number > MOST_SKIP:
        raise bad_request(
            f"$skip may be up to {MOST_SKIP}. Follow @iot.nextLink, or narrow $filter.", name
        )
    return number


def _orderby(text: str) -> Iterator[tuple[Path, bool]]:
    if not text.strip():
        return
    for part in text.split(","):
        path, *direction = part.split()[:3] or [""]
        turned = [one.casefold() for one in direction]
        if not _WORD.fullmatch(path) or turned not in ([], ["asc"], ["desc"]):
            raise bad_request(
                "$orderby is a property, asc or desc, and further ones behind commas: "
                "phenomenonTime desc,id.",
                "$orderby",
            )
        yield tuple(path.replace("@iot.id", "id").split("/")), turned == ["desc"]


def _select(text: str | None, entities: EntitySet) -> tuple[str, ...] | None:
    if text is None:
        return None
    control = ["id", "@iot.id", "@iot.selfLink"]
    known = {*control, *entities.members, *entities.properties, *entities.relations}
    names = tuple(part.strip() for part in text.split(","))
    if unknown := [name for name in names if name not in known]:
        raise bad_request(
            f"{entities.name} have no {unknown[0][:100] or 'member without a name'}; they have "
            f"{', '.join(['id', *entities.members, *entities.relations])}.",
            "$select",
        )
    return names


def _expand(text: str, entities: EntitySet, depth: int) -> dict[str, Options]:
    if not text.strip():
        return {}
    if depth > DEEPEST_EXPAND:
        raise bad_request(f"$expand may be nested {DEEPEST_EXPAND} deep.", "$expand")
    found: dict[str, dict[str, str]] = {}
    for part in split(text, ","):
        path, inner = _parts(part.strip())
        name, _, rest = path.partition("/")
        if name not in entities.relations:
            raise bad_request(
                f"{entities.name} have no relation {name[:100]}; they have "
                f"{', '.join(entities.relations)}.",
                "$expand",
            )
        if rest:
            # `A/B($top=1)` is `A($expand=B($top=1))`.
            options = f"({';'.join(f'{key}={value}' for key, value in inner.items())})"
            inner = {"$expand": rest + (options if inner else "")}
        known = found.setdefault(name, {})
        both = [one["$expand"] for one in (known, inner) if "$expand" in one]
        known |= inner
        if both:
            known["$expand"] = ",".join(both)
    return {
        name: _options(inner, ENTITY_SETS[entities.relations[name].target], depth + 1)
        for name, inner in found.items()
    }


def _parts(text: str) -> tuple[str, dict[str, str]]:
    """Path and options of an entry of `$expand`."""
    path, bracket, inner = text.partition("(")
    if not bracket:
        return path.strip(), {}
    if not inner.endswith(")"):
        raise bad_request("$expand: a bracket is not closed.", "$expand")
    options: dict[str, str] = {}
    for part in split(inner[:-1], ";"):
        name, sign, value = part.partition("=")
        if not part.strip():
            continue
        if not sign or name.strip() not in _NAMES:
            raise bad_request(
                f"Within $expand there are the options {', '.join(_NAMES)}, with ; between.",
                "$expand",
            )
        options[name.strip()] = value
    return path.strip(), options


def split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that are in no brackets and no quotes.

    Raises:
        ProblemError: Brackets or quotes are not closed.

    >>> split("Locations,Datastreams($filter=name eq 'a,b';$expand=Thing,Sensor)", ",")
    ['Locations', "Datastreams($filter=name eq 'a,b';$expand=Thing,Sensor)"]
    """
    parts, depth, quoted, begun = [], 0, False, 0
    for place, letter in enumerate(text):
        if letter == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == separator and depth == 0:
            parts.append(text[begun:place])
            begun = place + 1
    if quoted or depth != 0:
        raise bad_request("$expand: a bracket or a quote is not closed.", "$expand")
    return [*parts, text[begun:]]
