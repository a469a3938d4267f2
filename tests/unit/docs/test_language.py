"""Names, messages and documents use words that a stranger knows; the glossary has the others."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = sorted(path.name for path in ROOT.glob("aq_*") if path.is_dir())
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

# Words of our own making, in text and in names, with the plain word for each.
PRIVATE_WORDS = {
    r"mend(s|ed|ing)?": "fix",
    r"told": "notified, reported, named",
    r"ill": "invalid, down, failing",
    r"nobody": "no one",
    r"for ever": "permanently",
    r"made up for": "loaded later, backfilled",
    r"whom to name": "attribution",
}
# Names of our own making for what the field or Dagster has a name for.
PRIVATE_NAMES = {
    "Ask": "RequestedRun",
    "asks": "pending",
    "ask_at": "retry_at",
    "follow_up": "reconcile",
    "FollowUp": "Reconciled",
    "Place": "a cursor's own name",
    "Late": "BackfillState",
    "Tried": "Attempt",
    "Terms": "NetworkPolicy",
    "Heard": "NewestHour",
    "GivenUp": "AbandonedDay",
    "Desk": "IncidentTracker",
    "rung": "candidate",
    "tabulated": "lag_bucket",
    "troubled": "stations_with_problems",
    "fruitless": "expected_answers",
    "one_series": "select_sensor",
    "one_sensor_an_hour": "select_sensor",
    "what_is_wrong": "invalid_body_reason",
    "broken_json": "invalid_body_reason",
    "hopeless": "should_stop",
    "in_vain": "last_failure_start",
    "came_through": "last_success",
    "stuck_at_zero": "flat_line",
    "suspect_range": "gross_range",
}
_WORDS = {word: re.compile(rf"\b{word}\b", re.IGNORECASE) for word in PRIVATE_WORDS}
# Nearly all texts have none, and one search is less than seven.
_ANY_WORD = re.compile(rf"\b({'|'.join(PRIVATE_WORDS)})\b", re.IGNORECASE)
# In code a phrase may go on in another line, behind whatever is no word.
_ANY_WORD_OF_CODE = re.compile(_ANY_WORD.pattern.replace(" ", r"\W+"), re.IGNORECASE)
_ANY_NAME = re.compile(rf"\b_*({'|'.join(PRIVATE_NAMES)})s?_*\b")
_BETWEEN_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_")


def private_words(text: str) -> Iterator[str]:
    """The private words in a text, each with its replacement."""
    text = " ".join(text.split())
    if _ANY_WORD.search(text) is None:
        return
    for word, pattern in _WORDS.items():
        for found in pattern.finditer(text):
            yield f"{found[0]!r}: {PRIVATE_WORDS[word]}"


@cache
def private_names(name: str) -> tuple[str, ...]:
    """What is private in the name of a class, function, argument or variable."""
    plain = name.strip("_")
    standards = {PRIVATE_NAMES.get(plain), PRIVATE_NAMES.get(plain.removesuffix("s"))} - {None}
    words = _BETWEEN_WORDS.sub(" ", plain)
    return (
        *(f"{name!r}: {standard}" for standard in standards),
        *(f"{name!r} has {found}" for found in private_words(words)),
    )


def defined_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module names itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr


def written_texts(source: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring, message and comment.

    A string of one word is data, such as the name under which a cursor keeps a field.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value
    # Comments that follow one another are read as one: a phrase may be broken between two.
    block: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if block and token.start[0] > block[-1][0] + 1:
                yield block[0][0], " ".join(text for _, text in block)
                block = []
            block.append((token.start[0], token.string.lstrip("# ")))
    if block:
        yield block[0][0], " ".join(text for _, text in block)


def private_in(path: Path) -> Iterator[str]:
    source = path.read_text("utf-8")
    # To read all of the code closely takes seconds.
    if not (_ANY_NAME.search(source) or _ANY_WORD_OF_CODE.search(_BETWEEN_WORDS.sub(" ", source))):
        return
    tree = ast.parse(source)
    for line, name in defined_names(tree):
        yield from (f"line {line}: {found}" for found in private_names(name))
    for line, text in written_texts(source, tree):
        yield from (f"line {line}: {found}" for found in private_words(text))


@pytest.mark.parametrize("package", PACKAGES)
def test_code_has_no_private_words(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}, {one}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for one in private_in(path)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_documents_have_no_private_words(document: Path) -> None:
    found = list(private_words(document.read_text("utf-8")))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("told = 1", ["'told' has 'told'"], id="variable"),
        pytest.param("def to_mend(ill): ...", ["'to_mend'", "'ill'"], id="function and argument"),
        pytest.param("class _Desk: ...", ["IncidentTracker"], id="class"),
        pytest.param("class GivenUpDays: ...", [], id="another class"),
        pytest.param("a = f'{n} to mend'", ["'mend'"], id="message"),
        pytest.param("a = 'made up'\\\n ' for now'", ["made up for"], id="joined strings"),
        pytest.param("x = 1  # kept for\n# ever", ["for ever"], id="comment over two lines"),
        pytest.param("a = dict(told='told', recommend='still')", [], id="stored names and others"),
    ],
)
def test_private_words_are_found_where_they_may_hide(
    source: str, found: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    reported = list(private_in(path))
    assert len(reported) == len(found)
    assert all(any(part in one for one in reported) for part in found)


def glossary() -> dict[str, str]:
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs/glossary.md").read_text("utf-8"), re.MULTILINE
    )
    return {word: meaning for word, meaning in rows if word != "word"}


def test_the_glossary_has_thirty_words_at_most_each_with_its_meaning() -> None:
    assert 0 < len(glossary()) <= 30


def test_the_glossarys_words_are_used() -> None:
    """By another document or by the code."""
    others = [path for path in DOCUMENTS if path.name != "glossary.md"]
    others += [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    text = "\n".join(path.read_text("utf-8") for path in others)
    unused = [
        word
        for word in glossary()
        if not re.search(word.replace(" ", "[ _]?"), text, re.IGNORECASE)
    ]
    assert unused == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_glossary_is_linked(document: str) -> None:
    assert "(docs/glossary.md)" in (ROOT / document).read_text("utf-8")
