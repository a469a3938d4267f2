"""The SensorThings API over a real warehouse: entities, pages, and what it is not asked twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote

import polars as pl
import pytest
from jsonschema import Draft202012Validator

from aq_resources.services import Services
from aq_serving.context import Context
from aq_serving.published import PublishedNow
from aq_serving.reader import Reader
from aq_serving.sensorthings.model import ENTITY_SETS
from aq_serving.sensorthings.options import parse_options
from aq_serving.sensorthings.service import Service
from aq_serving.stations import Directory
from tests.unit.serving import sensorthings_schemas as schemas
from tests.unit.serving.conftest import ODD, Ask

pytestmark = pytest.mark.server

ROOT = "/sensorthings/v1.1"
HOURLY = "/Datastreams('airqino:s1:pm25:hourly')"
SINCE = "phenomenonTime ge 2024-03-09T00:00:00Z"
Entity = dict[str, Any]


def get(ask: Ask, path: str) -> Any:
    """The body of an answer."""
    answer = ask(ROOT + path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def walk(ask: Ask, path: str) -> list[Entity]:
    """All entities, by the links."""
    found: list[Entity] = []
    address: str | None = ROOT + path
    while address is not None:
        answer = ask(address)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        Draft202012Validator(schemas.COLLECTION).validate(body)
        found += body["value"]
        address = body.get("@iot.nextLink")
    return found


def test_the_root_says_what_there_is(ask: Ask) -> None:
    for path in ("", "/"):
        Draft202012Validator(schemas.ROOT).validate(get(ask, path))
    for one in get(ask, "")["value"]:
        assert ask(one["url"] + "?$top=1").status_code == 200


@pytest.mark.parametrize("name", [*ENTITY_SETS])
def test_entities_are_as_the_standard_has_them(ask: Ask, name: str) -> None:
    validator = Draft202012Validator(schemas.SCHEMAS[name])
    several = f" and {SINCE}" if name == "Observations" else ""
    found = walk(ask, f"/{name}?$filter=id ne ''{several}&$top=400")
    assert found or name == "HistoricalLocations"
    for entity in found:
        validator.validate(entity)
    for entity in found[:5]:
        assert ask(entity["@iot.selfLink"]).json() == entity
        for link in [value for key, value in entity.items() if "navigationLink" in key]:
            assert ask(link + ("?$top=1" if link.rstrip("s") != link else "")).status_code == 200


def test_every_hour_is_an_observation(ask: Ask, services: Services) -> None:
    found = walk(ask, f"{HOURLY}/Observations?$top=100")
    hours = services.warehouse.read(
        "SELECT hour, value FROM airqino.hourly_readings WHERE station_id = 's1' AND parameter = "
        "'pm25' ORDER BY hour"
    )
    assert [one["result"] for one in found] == hours["value"].to_list()
    assert [one["phenomenonTime"].partition("/")[0] for one in found] == (
        hours["hour"].dt.to_string("%Y-%m-%dT%H:%M:%SZ").to_list()
    )


def test_a_value_that_does_not_count_is_no_result(ask: Ask) -> None:
    path = "/Datastreams('airqino:s2:pm25:hourly')/Observations?$filter=resultQuality ne 'valid'"
    [flagged] = walk(ask, path)
    assert (flagged["result"], flagged["resultQuality"]) == (None, "suspect")
    assert flagged["parameters"]["value"] == 3.25


@pytest.mark.parametrize(
    ("series", "time", "result"),
    [
        ("daily", "2024-03-01T00:00:00Z/2024-03-02T00:00:00Z", 10.0),
        ("forecast-1h", "2024-03-10T09:00:00Z/2024-03-10T10:00:00Z", 12.0),
        ("forecast-2h", "2024-03-10T10:00:00Z/2024-03-10T11:00:00Z", 12.0),
    ],
)
def test_averages_and_forecasts_are_datastreams(
    ask: Ask, series: str, time: str, result: float
) -> None:
    found = walk(ask, f"/Datastreams('airqino:s1:pm25:{series}')/Observations")
    assert (found[0]["phenomenonTime"], found[0]["result"]) == (time, result)


@pytest.mark.parametrize("order", ["", "&$orderby=phenomenonTime desc", "&$orderby=result desc"])
def test_pages_have_every_row_once(ask: Ask, order: str) -> None:
    # Of two networks' series of all kinds, with many rows at one time.
    path = f"/Observations?$filter={SINCE}{order}"
    whole = get(ask, f"{path}&$top=1000&$count=true")
    assert whole["@iot.count"] == len(whole["value"]) > 100
    rows = walk(ask, f"{path}&$top=13")
    assert rows == whole["value"]
    assert len({one["@iot.id"] for one in rows}) == len(rows)


def test_a_place_in_the_pages_belongs_to_its_request(ask: Ask) -> None:
    link = get(ask, f"{HOURLY}/Observations?$top=2")["@iot.nextLink"]
    token = link.partition("$skiptoken=")[2]
    other = "/Datastreams('airqino:s1:co:hourly')/Observations"
    assert ask(f"{ROOT}{other}?$skiptoken={token}").status_code == 400
    assert ask(f"{ROOT}/Things?$skiptoken={token}").status_code == 400


def test_expansions_hold_what_their_links_lead_to(ask: Ask) -> None:
    expand = (
        "Locations,Datastreams($expand=ObservedProperty,Sensor,Observations($top=2;"
        "$orderby=phenomenonTime desc);$orderby=id desc)"
    )
    for thing in walk(ask, f"/Things?$expand={expand}&$top=2"):
        link = thing["@iot.selfLink"]
        assert thing["Locations"] == ask(f"{link}/Locations").json()["value"]
        for stream in thing["Datastreams"]:
            alone = f"{stream['@iot.selfLink']}/"
            assert stream["ObservedProperty"] == ask(f"{alone}ObservedProperty").json()
            newest = ask(f"{alone}Observations?$top=2&$orderby=phenomenonTime desc").json()
            assert stream["Observations"] == newest["value"]
            assert ("Observations@iot.nextLink" in stream) == ("@iot.nextLink" in newest)


def test_an_expansion_has_pages_of_its_own(ask: Ask) -> None:
    path = "/Things('airqino:s1')?$expand=Datastreams($top=3;$count=true;$select=id)"
    thing = get(ask, path)
    assert thing["Datastreams@iot.count"] == 8
    rest = walk(ask, thing["Datastreams@iot.nextLink"].partition(ROOT)[2])
    names = [one["@iot.id"] for one in (*thing["Datastreams"], *rest)]
    assert names == [one["@iot.id"] for one in walk(ask, "/Things('airqino:s1')/Datastreams")]


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, services: Services) -> Iterator[tuple[Any, list[int]]]:
    """A service, and how often it has read."""
    reader = Reader(services, 2, 30.0)
    reads = [0]
    turn = Reader.turn

    def turned(self: Reader) -> Any:
        reads[0] += 1
        return turn(self)

    with monkeypatch.context() as patch:
        patch.setattr(Reader, "turn", turned)
        nothing = PublishedNow(lambda: services.object_store, services.now)
        yield Service(Context(reader, Directory(reader), services.now, nothing, {})), reads
    reader.close()


def test_an_expansion_reads_as_often_for_many_as_for_one(
    monkeypatch: pytest.MonkeyPatch, services: Services
) -> None:
    kind = ENTITY_SETS["Things"]
    expand = "Datastreams($expand=Observations($top=1;$orderby=phenomenonTime desc))"
    options = parse_options([("$expand", expand)], kind)
    took = []
    with counted(monkeypatch, services) as (service, reads):
        query = service.query()
        rows = query.all_of(kind).rows
        for chosen in (rows.filter(pl.col("id") == "airqino:s1"), rows):
            before = reads[0]
            shown = query.show("http://h", kind, chosen, options)
            took.append(reads[0] - before)
        assert len(shown) == 4
    # A further network is a further folder of files, not a further read of each station.
    assert took[1] <= took[0] + 1


def test_data_arrays(ask: Ask) -> None:
    path = f"/Observations?$filter={SINCE} and Datastream/properties/series eq 'hourly'&$top=200"
    plain = walk(ask, path)
    arrays = walk(ask, path + "&$resultFormat=dataArray&$select=id,result,phenomenonTime")
    Draft202012Validator(schemas.DATA_ARRAYS).validate(arrays)
    flat = {tuple(row) for one in arrays for row in one["dataArray"]}
    assert arrays[0]["components"] == ["id", "result", "phenomenonTime"]
    assert flat == {(one["@iot.id"], one["result"], one["phenomenonTime"]) for one in plain}
    assert get(ask, f"{HOURLY}/Observations?resultFormat=dataArray&$top=1")["value"]


def test_parts_of_an_entity(ask: Ask) -> None:
    observation = "/Observations('airqino:s1:pm25:hourly:20240301T0500Z')"
    assert get(ask, f"{observation}/result") == {"result": 15.0}
    assert ask(f"{ROOT}{observation}/result/$value").text == "15.0"
    assert get(ask, f"{observation}/Datastream/Thing/name") == {"name": "somewhere"}
    assert get(ask, "/Things('airqino:s1')/properties/country") == {"country": "CI"}
    assert ask(f"{ROOT}/Things('airqino:s1')/name/$value").text == "somewhere"
    assert get(ask, "/Things('airqino:s1')/$ref")["@iot.selfLink"].endswith("Things('airqino:s1')")
    assert len(walk(ask, "/Things/$ref?$top=1")) == 4
    assert ask(f"{ROOT}/Things/$count?$filter=properties/country eq 'BE'").text == "1"
    flagged = "/Observations('airqino:s2:pm25:hourly:20240301T0000Z')/result/$value"
    assert ask(ROOT + flagged).status_code == 204


def test_selected_members_alone(ask: Ask) -> None:
    path = "/Things('airqino:s1')?$select=name,properties/country,Locations"
    thing = get(ask, path)
    assert set(thing) == {"name", "properties", "Locations@iot.navigationLink"}
    assert thing["properties"] == {"country": "CI"}


def test_whatever_a_station_is_called_it_is_found(ask: Ask) -> None:
    key = quote(f"airqino:{ODD}".replace("'", "''"), safe="")
    thing = get(ask, f"/Things('{key}')")
    assert thing["properties"]["station_id"] == ODD
    assert ask(thing["@iot.selfLink"]).json() == thing
    streams = thing["Datastreams@iot.navigationLink"].partition(ROOT)[2]
    assert len(walk(ask, f"{streams}?$top=1")) == 4
    feature = get(ask, f"/FeaturesOfInterest('{key}')")["feature"]
    assert feature == {"type": "Feature", "geometry": None, "properties": {}}


@pytest.mark.parametrize(
    "path",
    [
        "/Nothing",
        "/Things('no')",
        "/Things(1)",
        "/Things/Datastreams",
        "/Things('airqino:s1')/nothing",
        "/Things('airqino:s1')/name/nothing",
        "/Observations('airqino:s1:pm25:hourly:20250301T0500Z')",
        "/Observations('x')/Datastream",
        "/Datastreams('airqino:s1:pm25:hourly')/Observations('airqino:s2:pm25:hourly:20240301T0500Z')",
        "/$metadata",
    ],
)
def test_what_is_not_there_is_not_found(ask: Ask, path: str) -> None:
    answer = ask(ROOT + path)
    assert answer.status_code == 404, answer.text
    Draft202012Validator(schemas.ERROR).validate(answer.json())


@pytest.mark.parametrize(
    "query",
    [
        "Observations?$filter=result eq 'x'",
        "Observations?$filter=parameters/value gt 1",
        "Observations?$orderby=parameters",
        "Observations?$filter=result gt 1; DROP TABLE stations",
        "Observations?$filter=result gt 1 UNION SELECT 1",
        "Observations?$filter=id eq 'x'' OR ''1''=''1' OR 1=1",
        "Observations?$skiptoken=eyJ4Ijox",
        "Things?$filter=name eq read_csv('/etc/passwd')",
        "Things?$orderby=(SELECT 1)",
        "Things?$resultFormat=dataArray",
        "Things('airqino:s1')?$top=1",
        "Observations?$resultFormat=dataArray&$expand=Datastream",
        "Datastreams?$expand=Observations($orderby=result)",
        "Datastreams?$expand=Observations($count=true)",
    ],
)
def test_what_is_wrong_is_refused_and_said(ask: Ask, query: str) -> None:
    answer = ask(f"{ROOT}/{query}")
    assert answer.status_code == 400, answer.text
    Draft202012Validator(schemas.ERROR).validate(answer.json())
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_written(ask: Ask, method: str) -> None:
    for path in ("", "/Things", "/Things('airqino:s1')", "/CreateObservations"):
        answer = ask(ROOT + path, method)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
        Draft202012Validator(schemas.ERROR).validate(answer.json())
    assert ask(f"{ROOT}/Things", "HEAD").status_code == 200


def test_a_walk_that_takes_too_long_is_ended(
    monkeypatch: pytest.MonkeyPatch, services: Services
) -> None:
    with counted(monkeypatch, services) as (service, _):
        query = service.query()
        query._observations._reader.seconds = -1.0
        kind = ENTITY_SETS["Observations"]
        with pytest.raises(Exception, match="took longer"):
            query.page(query.all_of(kind), parse_options([], kind), [])


@pytest.mark.parametrize(
    "path", ["", "/Things?$top=2", f"{HOURLY}/Observations?$top=3", "/Things/$count"]
)
def test_who_has_an_answer_already_is_told_so(ask: Ask, path: str) -> None:
    whole = ask(ROOT + path)
    tag = whole.headers["etag"]
    assert ask(ROOT + path).headers["etag"] == tag
    known = ask(ROOT + path, if_none_match=f'W/"other", {tag}')
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    assert known.headers["cache-control"] == whole.headers["cache-control"]
    other = ask(ROOT + path, if_none_match='W/"other"')
    assert (other.status_code, other.content) == (200, whole.content)


def test_links_are_addresses(ask: Ask) -> None:
    link = get(ask, "/Datastreams?$filter=properties/parameter eq 'pm25' and id ne ''&$top=1")
    address = link["@iot.nextLink"]
    assert " " not in address
    assert "$filter=properties/parameter eq 'pm25'" in unquote(address)
