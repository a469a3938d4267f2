"""Answers as responses, with all that clients and caches need.

The header `Link` leads to the next page and to what the columns mean, and `Attribution` names whom
to credit: CSV has no other place for either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.forms import Answer, Format, encode
from aq_serving.published import ReadyBytes

# Readings come once an hour; a minute spares the warehouse most of a crowd's requests.
MAX_AGE_SECONDS = 60
# A header longer than this is refused by proxies.
_LONGEST_HEADER = 4000


def respond(
    request: Request, answer: Answer, form: Format, ready: ReadyBytes | None = None
) -> Response:
    """The answer as a response; without a body where the client has the same one already.

    Args:
        request: For `If-None-Match`.
        answer: What is answered.
        form: In which form.
        ready: Its bytes, where they are published.

    Returns:
        The response, with all that caches need.
    """
    body = encode(answer, form) if ready is None else ready.data
    tag = tag_of(body)
    headers = {
        "ETag": tag,
        "Cache-Control": f"public, max-age={MAX_AGE_SECONDS}",
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
        "Link": ", ".join(_links(answer)),
    }
    attributions = quote("; ".join(credit.attribution for credit in answer.credits), safe=" ;:/()")
    if 0 < len(attributions) <= _LONGEST_HEADER:
        headers["Attribution"] = attributions
    if has_it(request, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if ready is not None and ready.packed is not None:
        headers["Vary"] = "Accept, Accept-Encoding"
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = ready.packed
    return Response(body, headers=headers, media_type=form.media_type)


def _links(answer: Answer) -> Iterator[str]:
    if answer.next is not None:
        yield f'<{answer.next}>; rel="next"'
    yield f'</v1/tables/{answer.table.name}>; rel="describedby"'
    yield '</v1/attribution>; rel="license"'


def tag_of(body: bytes) -> str:
    """The entity tag of an answer, by which a client asks whether it has it already."""
    # Weak: compressed by the server or not, it is the same to whoever reads it.
    return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'


def has_it(request: Request, tag: str) -> bool:
    """Whether the client says that it has the answer of this tag."""
    known = request.headers.get("if-none-match", "")
    tags = {part.strip() for part in known.split(",")}
    return "*" in tags or tag in tags
