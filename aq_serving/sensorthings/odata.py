"""The text of `$filter` as a tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from odata_query import ast
from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser

from aq_serving.problems import ProblemError, bad_request

LONGEST = 4000
DEEPEST = 50

# What is no text within quotes: the name of the identifier has a sign that names have not.
_IDENTIFIER = re.compile(r"'(?:[^']|'')*'|@iot\.id\b")
# Raised by the parser's own code for texts that only nearly fit the grammar.
_NEARLY = (ODataException, NotImplementedError, AttributeError, TypeError, ValueError, IndexError)

Path = tuple[str, ...]


def _parser() -> ODataParser:
    """OData's grammar, with the functions looked at by who knows what they mean."""
    parser = ODataParser()
    # On the instance: a class that inherits is taken for a grammar of its own.
    setattr(parser, "_function_call", _function_call)  # noqa: B010
    return parser


def _function_call(name: ast.Identifier, arguments: list[Any]) -> Any:
    # `not(…)` without a blank looks like a function.
    if name_of(name).casefold() == "not" and len(arguments) == 1:
        return ast.UnaryOp(ast.Not(), arguments[0])
    return ast.Call(name, arguments)


def name_of(identifier: ast.Identifier) -> str:
    """The name, with what stands before its dots."""
    return ".".join((*identifier.namespace, identifier.name))


def values(node: Any) -> list[Any]:
    """The members of a list."""
    return list(node.val)


def parse(text: str) -> Any:
    """The tree of a filter.

    Raises:
        ProblemError: It is none.
    """
    if len(text) > LONGEST:
        raise bad_request(f"$filter may have {LONGEST} characters.", "$filter")
    plain = _IDENTIFIER.sub(lambda found: "id" if found[0].startswith("@") else found[0], text)
    try:
        tree = _parser().parse(ODataLexer().tokenize(plain.strip()))
    except _NEARLY as error:
        raise _refusal(error) from None
    if tree is None:
        raise _refusal(None)
    return tree


def conjuncts(tree: Any) -> list[Any]:
    """The parts of which all have to hold."""
    return _flat(tree, ast.And)


def alternatives(tree: Any) -> list[Any]:
    """The parts of which one has to hold."""
    return _flat(tree, ast.Or)


def path_of(node: Any) -> Path | None:
    """The names of a path; None where the node is none."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.owner
    if isinstance(node, ast.Identifier):
        return (name_of(node), *reversed(names))
    return None


def paths(node: Any) -> Iterator[Path]:
    """Every path in a tree."""
    found = path_of(node)
    if found is not None:
        yield found
        return
    match node:
        case ast.Call(args=args):
            parts: list[Any] = list(args)
        case ast.List(val=val):
            parts = list(val)
        case ast.Compare(left=left, right=right) | ast.BoolOp(left=left, right=right):
            parts = [left, right]
        case ast.BinOp(left=left, right=right):
            parts = [left, right]
        case ast.UnaryOp(operand=operand):
            parts = [operand]
        case _:
            parts = []
    for part in parts:
        yield from paths(part)


def _flat(tree: Any, operator: type) -> list[Any]:
    # By a loop: `a and b and …` is as deep as it is long.
    found, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.BoolOp) and isinstance(node.op, operator):
            waiting += [node.right, node.left]
        else:
            found.append(node)
    return found


def _refusal(error: Exception | None) -> ProblemError:
    token = getattr(error, "token", None)
    where = f" near {str(token.value)[:40]!r}" if token is not None else ""
    return bad_request(
        f"$filter cannot be read{where}. Text stands in single quotes, an instant has an offset "
        "(2024-03-01T00:00:00Z; + is %2B in an address): result gt 12.5 and "
        "Datastream/properties/parameter eq 'pm25'.",
        "$filter",
    )
