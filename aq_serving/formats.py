"""The forms of an answer, and which one a request wants."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus

from aq_resources.documents.forms import Format
from aq_serving.problems import ProblemError, not_found


def choose(
    wanted: Format | None, extension: str | None, accept: str, offered: Collection[Format]
) -> Format:
    """The form of the answer: by `format`, else the extension, else `Accept`.

    Args:
        wanted: The parameter `format`.
        extension: What follows the dot of the path.
        accept: The header; empty counts as anything.
        offered: Forms that the resource has, the preferred one first.

    Returns:
        One of them.

    Raises:
        ProblemError: The resource has no such form (404 for an extension, else 406).
    """
    named = wanted if wanted is not None else _by_name(extension, offered)
    if named is not None:
        if named not in offered:
            raise _not_acceptable(f"This resource has no form {named.value}", offered)
        return named
    found = negotiate(accept, offered)
    if found is None:
        raise _not_acceptable("Accept names no form that this resource has", offered)
    return found


def negotiate(accept: str, offered: Collection[Format]) -> Format | None:
    """The offered form that a header `Accept` (RFC 9110, 12.5.1) likes best; None for none.

    >>> negotiate("text/html, text/csv;q=0.9, */*;q=0.1", TABULAR).value
    'csv'
    """
    ranges = [_media_range(part) for part in accept.split(",") if part.strip()]
    if not ranges:
        return next(iter(offered))
    quality = {form: _quality(form.media_type, ranges) for form in offered}
    # The first of equals: dictionaries keep the order.
    best = max(quality, key=quality.__getitem__)
    return best if quality[best] > 0 else None


def _by_name(extension: str | None, offered: Collection[Format]) -> Format | None:
    if extension is None:
        return None
    if extension not in [form.value for form in offered]:
        names = ", ".join(f".{form.value}" for form in offered)
        raise not_found(f"There is no such resource. Extensions here are {names}.")
    return Format(extension)


def _not_acceptable(reason: str, offered: Collection[Format]) -> ProblemError:
    forms = ", ".join(f"{form.value} ({form.media_type})" for form in offered)
    return ProblemError(HTTPStatus.NOT_ACCEPTABLE, f"{reason}. It has: {forms}.")


def _media_range(text: str) -> tuple[str, float]:
    media, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media, float(value)
            except ValueError:
                return media, 0.0
    return media, 1.0


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """By the most specific range that matches."""
    named = dict(reversed(ranges))
    kind = media_type.partition("/")[0]
    for candidate in (media_type, f"{kind}/*", "*/*"):
        if candidate in named:
            return named[candidate]
    return 0.0
