"""Paths and query options of the SensorThings API as they are read and written."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.parameters import PARAMETERS
from aq_serving.problems import ProblemError
from aq_serving.sensorthings.addresses import Segment, entity_address, parse_path
from aq_serving.sensorthings.identifiers import parse_observation
from aq_serving.sensorthings.model import ENTITY_SETS
from aq_serving.sensorthings.options import MOST_TOP, parse_options, split
from aq_serving.sensorthings.vocabulary import PROPERTIES, UNITS

THINGS = ENTITY_SETS["Things"]
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(_TEXT)
def test_addresses_lead_back(key: str) -> None:
    address = entity_address("http://h", "Things", key)
    assert urlsplit(address).query == urlsplit(address).fragment == ""
    [segment] = parse_path(unquote(urlsplit(address).path))
    assert segment == Segment("Things", key)


@given(st.text(max_size=60))
def test_any_path_is_read_or_unknown(path: str) -> None:
    with suppress(ProblemError):
        assert all(segment.name for segment in parse_path(path))


@pytest.mark.parametrize("path", ["Things", "//Things", "/Things('a", "/Things('a')x", "/../etc"])
def test_what_is_no_path_is_unknown(path: str) -> None:
    with pytest.raises(ProblemError):
        parse_path(path)


def test_options_within_options() -> None:
    text = (
        "Locations,Datastreams($filter=name eq 'a;b,(c';$expand=Observations($top=1;$orderby="
        "phenomenonTime desc);$select=name,id)"
    )
    options = parse_options([("$expand", text), ("$top", "5")], THINGS)
    assert options.top == 5
    assert set(options.expand) == {"Locations", "Datastreams"}
    streams = options.expand["Datastreams"]
    assert streams.filter == "name eq 'a;b,(c'"
    assert streams.select == ("name", "id")
    observations = streams.expand["Observations"]
    assert (observations.top, observations.orderby) == (1, ((("phenomenonTime",), True),))


def test_a_path_is_an_expansion_of_expansions() -> None:
    text = "Datastreams/ObservedProperty($select=name),Datastreams/Sensor"
    inner = parse_options([("$expand", text)], THINGS).expand["Datastreams"].expand
    assert inner["ObservedProperty"].select == ("name",)
    assert set(inner) == {"ObservedProperty", "Sensor"}


@pytest.mark.parametrize(
    "pair",
    [
        ("$top", "-1"),
        ("$top", "x"),
        ("$top", "9999999999"),
        ("$skip", "100001"),
        ("$count", "yes"),
        ("$orderby", "name sideways"),
        ("$orderby", "name desc asc"),
        ("$orderby", ","),
        ("$orderby", "name;drop"),
        ("$select", "nme"),
        ("$select", ""),
        ("$expand", "Observations"),
        ("$expand", "Datastreams("),
        ("$expand", "Datastreams($top=1))"),
        ("$expand", "Datastreams(top=1)"),
        ("$expand", "Datastreams($skiptoken=x)"),
        ("$expand", "Datastreams/Thing/Datastreams/Thing/Datastreams/Thing"),
        ("$resultFormat", "csv"),
        ("$search", "x"),
        ("limit", "1"),
        ("$filter", "x" * 9000),
    ],
)
def test_options_that_are_wrong_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ProblemError) as refused:
        parse_options([pair], THINGS)
    assert refused.value.status == 400


def test_an_option_comes_once() -> None:
    with pytest.raises(ProblemError):
        parse_options([("$top", "1"), ("$top", "2")], THINGS)


@given(st.text("$()';,=abc/ ", max_size=50))
def test_any_expansion_is_read_or_refused(text: str) -> None:
    with suppress(ProblemError):
        assert set(parse_options([("$expand", text)], THINGS).expand) <= THINGS.relations.keys()


@given(st.lists(st.text("abc'()", max_size=8), min_size=1, max_size=4))
def test_quoted_separators_are_text(parts: list[str]) -> None:
    quoted = ["'" + part.replace("'", "''") + "'" for part in parts]
    assert split(",".join(quoted), ",") == quoted


@given(_TEXT, st.integers(0, 50))
def test_options_survive_the_address_of_the_next_page(text: str, skip: int) -> None:
    texts = {"$filter": text, "$orderby": "name desc", "$top": "3"}
    options = parse_options(texts.items(), THINGS)
    query = options.query(skip=str(skip)).removeprefix("?")
    assert dict(parse_qsl(query, keep_blank_values=True)) == {**texts, "$skip": str(skip)}


def test_pages_have_a_limit() -> None:
    assert parse_options([("$top", "1000000")], THINGS).limit == MOST_TOP


@pytest.mark.parametrize("text", ["", "x", "a:b", ":20240301", "a:20241301", "a:20240301T9999Z"])
def test_what_is_no_observation_is_none(text: str) -> None:
    assert parse_observation(text) is None


def test_every_parameter_and_unit_has_its_term() -> None:
    assert PROPERTIES.keys() == PARAMETERS.keys()
    assert UNITS.keys() == {parameter.unit for parameter in PARAMETERS.values()}
    addresses = [concept.definition for concept in [*PROPERTIES.values(), *UNITS.values()]]
    assert len(set(addresses)) == len(addresses)
