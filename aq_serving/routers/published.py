"""The published files, for those who would rather load everything than ask."""

from __future__ import annotations

import re
from http import HTTPStatus

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.forms import Format
from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.publication.manifest import ROOT, digest, manifest_key
from aq_resources.services import Services
from aq_resources.stores.object_store import MissingObject
from aq_serving.problems import not_found, unavailable
from aq_serving.resource import problem_responses

# Names that a publication may have, and no others: what else is in the store is no one's business.
_KEY = re.compile(r"([a-z0-9_]+/){0,2}[a-z0-9_-]+\.[0-9a-f]{32}\.(json|geojson|parquet)(\.gz)?")
_IMMUTABLE = "public, max-age=31536000, immutable"


def router(services: Services) -> APIRouter:
    """The resources `/publication` and `/publication/{key}`."""
    found = APIRouter(tags=["publication"])
    responses = problem_responses()

    def read(key: str) -> bytes:
        try:
            return services.object_store.get(key)
        except MissingObject:
            raise not_found(
                "No such file is published. /v1/publication names those that are."
            ) from None
        except (PermanentFailure, TransientFailure) as failure:
            raise unavailable("The published files cannot be read just now.") from failure

    @found.get("/publication", responses=responses)
    def manifest(request: Request) -> Response:
        """The manifest: every published file with its size and hash, by name. Those that one
        manifest names belong together.
        """
        data = read(manifest_key())
        headers = {"ETag": f'"{digest(data)[:32]}"', "Cache-Control": "public, max-age=5"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(data, headers=headers, media_type=Format.json.media_type)

    @found.get("/publication/{key:path}", responses=responses)
    def file(key: str) -> Response:
        """A published file by its `key` in the manifest; what a key stands for never changes."""
        if not _KEY.fullmatch(key):
            raise not_found("No such file is published. /v1/publication names those that are.")
        plain = key.removesuffix(".gz")
        headers = {"Cache-Control": _IMMUTABLE, "X-Content-Type-Options": "nosniff"}
        if plain != key:
            headers["Content-Encoding"] = "gzip"
        extension = plain.rpartition(".")[2]
        return Response(
            read(f"{ROOT}/{key}"), headers=headers, media_type=Format(extension).media_type
        )

    return found
