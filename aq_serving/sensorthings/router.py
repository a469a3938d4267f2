"""The routes of the SensorThings API, and its errors as its clients read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from aq_serving.answers import MAX_AGE_SECONDS, has_it, tag_of
from aq_serving.context import Context
from aq_serving.problems import ProblemError, bad_request
from aq_serving.sensorthings.addresses import ROOT, Segment, no_such_path, parse_path
from aq_serving.sensorthings.bodies import Entity, data_arrays, references
from aq_serving.sensorthings.model import ENTITY_SETS, OBSERVATIONS, EntitySet
from aq_serving.sensorthings.options import Options, parse_options
from aq_serving.sensorthings.service import Query, Service

_SPECIFICATION = "http://www.opengis.net/spec/iot_sensing/1.1/req"
CONFORMANCE = [
    f"{_SPECIFICATION}/datamodel",
    f"{_SPECIFICATION}/resource-path/resource-path-to-entities",
    f"{_SPECIFICATION}/request-data",
    *(
        f"{_SPECIFICATION}/request-data/{name}"
        for name in (
            "status-code",
            "query-status-code",
            "order",
            "expand",
            "select",
            "orderby",
            "top",
            "skip",
            "count",
            "filter",
            "built-in-filter-operations",
            "pagination",
        )
    ),
]
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def router(context: Context) -> APIRouter:
    """All paths below the root."""
    found = APIRouter(tags=["sensorthings"])
    service = Service(context)

    async def answer(request: Request, path: str = "") -> Response:
        try:
            if request.method != "GET":
                raise ProblemError(
                    HTTPStatus.METHOD_NOT_ALLOWED,
                    "The API is read-only: it answers GET and HEAD.",
                    headers={"Allow": "GET, HEAD"},
                )
            return await run_in_threadpool(_tagged_answer, service, request, path)
        except ProblemError as problem:
            return _refusal(problem)

    for path in (ROOT, ROOT + "{path:path}"):
        # OpenAPI has no words for these paths; the root document lists the sets.
        found.add_api_route(path, answer, methods=_METHODS, include_in_schema=False)
    return found


def _refusal(problem: ProblemError) -> JSONResponse:
    """As FROST answers, since that is what clients take apart."""
    return JSONResponse(
        {"code": int(problem.status), "type": "error", "message": problem.detail},
        problem.status,
        headers={"Cache-Control": "no-store", **problem.headers},
    )


def _tagged_answer(service: Service, request: Request, path: str) -> Response:
    """The answer, or that the client has it.

    By its bytes: hourly readings are files of their own, so that neither a publication nor a
    snapshot of the lake says whether they changed.
    """
    response = _answer(service, request, path)
    if response.status_code != HTTPStatus.OK:
        return response
    tag = tag_of(bytes(response.body))
    if has_it(request, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={**_HEADERS, "ETag": tag})
    response.headers["ETag"] = tag
    return response


def _answer(service: Service, request: Request, path: str) -> Response:
    segments = parse_path(path)
    base = str(request.base_url).rstrip("/") + ROOT
    if not segments:
        return _json(root_document(base))
    pairs = request.query_params.multi_items()
    found = Address(service.query(), base, segments, request)
    return found.answer(pairs)


def root_document(base: str) -> Entity:
    """What there is."""
    return {
        "value": [{"name": name, "url": f"{base}/{name}"} for name in ENTITY_SETS],
        "serverSettings": {"conformance": CONFORMANCE},
    }


class Address:
    """What a path leads to."""

    def __init__(self, query: Query, base: str, segments: list[Segment], request: Request) -> None:
        """Walk along the path.

        Args:
            query: Finds entities.
            base: Address of the root.
            segments: Steps of the path.
            request: For the address itself.

        Raises:
            ProblemError: It leads nowhere.
        """
        self._query, self._base, self._request = query, base, request
        first, *rest = segments
        if first.name not in ENTITY_SETS:
            raise no_such_path()
        self._selected = query.all_of(ENTITY_SETS[first.name])
        self._single = self._with_key(first)
        while rest and rest[0].name in self._kind.relations:
            if not self._single:
                raise no_such_path()
            relation = self._kind.relations[rest[0].name]
            self._selected = query.related(self._selected, relation)
            self._single = self._with_key(rest[0]) or not relation.many
            rest = rest[1:]
        self._members = [segment.name for segment in rest]
        if any(segment.key is not None for segment in rest):
            raise no_such_path()

    @property
    def _kind(self) -> EntitySet:
        return self._selected.kind

    def _with_key(self, segment: Segment) -> bool:
        """Choose the entity that a step names; whether it names one."""
        if segment.key is None:
            return False
        self._selected = self._query.one_of(self._selected, segment.key)
        return True

    def answer(self, pairs: list[tuple[str, str]]) -> Response:
        """The answer to a request with these query options.

        Raises:
            ProblemError: The options are wrong, or nothing can be read now.
        """
        options = parse_options(pairs, self._kind)
        if not self._members:
            return _json(self._entity(options) if self._single else self._collection(options))
        if self._members == ["$ref"]:
            return _json(self._references(options))
        if self._members == ["$count"] and not self._single:
            return PlainTextResponse(str(self._counted(options)), headers=_HEADERS)
        if not self._single:
            raise no_such_path()
        return self._member()

    def _entity(self, options: Options) -> Entity:
        if options.filter or options.orderby or options.top is not None or options.skip:
            raise bad_request("An entity itself takes $select and $expand alone.")
        rows = self._query.rows_of(self._selected)
        [entity] = self._query.show(self._base, self._kind, rows, options)
        return entity

    def _collection(self, options: Options) -> Entity:
        page = self._query.page(self._selected, options, self._scope())
        body: Entity = {}
        if page.count is not None:
            body["@iot.count"] = page.count
        if page.following is not None:
            body["@iot.nextLink"] = self._next(options, page.following)
        if options.data_array:
            if self._kind.name != OBSERVATIONS:
                raise bad_request("dataArray is a form of Observations alone.", "$resultFormat")
            if options.expand:
                raise bad_request("dataArray has no room for $expand.", "$expand")
            body["value"] = data_arrays(self._base, page.rows, self._kind, options)
        else:
            body["value"] = self._query.show(self._base, self._kind, page.rows, options)
        return body

    def _counted(self, options: Options) -> int:
        only = Options(filter=options.filter, top=0, count=True)
        return self._query.page(self._selected, only, self._scope()).count or 0

    def _references(self, options: Options) -> Entity:
        if self._single:
            rows = self._query.rows_of(self._selected)
            return references(self._base, self._kind, rows)[0]
        page = self._query.page(self._selected, options, self._scope())
        body: Entity = {"value": references(self._base, self._kind, page.rows)}
        if page.following is not None:
            body["@iot.nextLink"] = self._next(options, page.following)
        return body

    def _member(self) -> Response:
        """A property of an entity, or its bare value."""
        names = self._members
        bare = names[-1] == "$value"
        path = names[:-1] if bare else names
        rows = self._query.rows_of(self._selected)
        [found] = self._query.show(self._base, self._kind, rows, Options())
        value: Any = json.loads(msgspec.json.encode(found))
        for name in path:
            control = f"@iot.{name}" if name in ("id", "selfLink") else name
            if not isinstance(value, dict) or control not in value or not path:
                raise no_such_path()
            value = value[control]
        if not bare:
            return _json({path[-1]: value})
        if value is None:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=_HEADERS)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return PlainTextResponse(text, headers=_HEADERS)

    def _scope(self) -> list[tuple[str, str]]:
        """What a place in the pages belongs to: the path, and the options that are not of pages."""
        pairs = self._request.query_params.multi_items()
        path = self._request.url.path
        return [("", path), *(pair for pair in pairs if pair[0] in ("$filter", "$orderby"))]

    def _next(self, options: Options, following: Mapping[str, str]) -> str:
        changed: dict[str, str | None] = dict(following)
        if "skiptoken" in changed:
            changed["skip"] = None
        path = quote(self._request.scope["path"], safe="/()'$:,")
        return self._base.removesuffix(ROOT) + path + options.query(**changed)


_HEADERS = {
    "Cache-Control": f"public, max-age={MAX_AGE_SECONDS}",
    "X-Content-Type-Options": "nosniff",
}


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), headers=_HEADERS, media_type="application/json")
