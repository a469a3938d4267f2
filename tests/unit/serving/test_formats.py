"""Which form an answer takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.documents.forms import SPATIAL, TABULAR, Format
from aq_serving.formats import choose, negotiate
from aq_serving.problems import ProblemError


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Format.json),
        ("*/*", Format.json),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format.json),
        ("text/csv", Format.csv),
        ("TEXT/CSV ; charset=utf-8", Format.csv),
        ("text/*", Format.csv),
        ("application/json;q=0.1, text/csv;q=0.2", Format.csv),
        ("application/json;q=0, */*", Format.csv),
        ("application/vnd.apache.arrow.stream", Format.arrow),
        ("application/vnd.apache.parquet, application/json;q=0.5", Format.parquet),
        ("text/csv;q=high, application/json;q=0.5", Format.json),
        ("text/html", None),
        ("application/geo+json", None),
        ("*/*;q=0", None),
    ],
)
def test_accept_is_heard(accept: str, form: Format | None) -> None:
    assert negotiate(accept, TABULAR) is form


@given(st.text(max_size=60))
def test_any_header_is_a_form_or_none(accept: str) -> None:
    assert negotiate(accept, SPATIAL) in (*SPATIAL, None)


def test_the_parameter_counts_before_the_extension_and_that_before_accept() -> None:
    assert choose(Format.arrow, "csv", "application/json", TABULAR) is Format.arrow
    assert choose(None, "csv", "application/json", TABULAR) is Format.csv
    assert choose(None, None, "text/csv", TABULAR) is Format.csv


@pytest.mark.parametrize(
    ("wanted", "extension", "accept", "status"),
    [
        (Format.geojson, None, "", 406),
        (None, "geojson", "", 404),
        (None, "exe", "", 404),
        (None, None, "image/png", 406),
    ],
)
def test_a_form_that_is_not_there_is_refused_with_those_that_are(
    wanted: Format | None, extension: str | None, accept: str, status: int
) -> None:
    with pytest.raises(ProblemError, match="csv") as caught:
        choose(wanted, extension, accept, TABULAR)
    assert caught.value.status == status
