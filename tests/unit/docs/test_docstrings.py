"""Functions of three arguments or more document them; docstrings have one markup.

Neither ruff's pydoclint rules nor pydoclint can be told to begin at a number of arguments, and
short functions are to stay without sections.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from docstring_parser import Docstring, DocstringStyle, parse

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = sorted(path.name for path in ROOT.glob("aq_*") if path.is_dir())
FEWEST = 3

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = Function | ast.ClassDef | ast.Module
# A method's name and its arguments.
Contract = tuple[str, tuple[str, ...]]


def sources(package: str) -> Iterator[tuple[str, str]]:
    for file in sorted((ROOT / package).rglob("*.py")):
        yield str(file.relative_to(ROOT)), file.read_text("utf-8")


@cache
def modules(package: str) -> list[tuple[str, ast.Module]]:
    return [(path, ast.parse(source)) for path, source in sources(package)]


def functions(scope: ast.Module | ast.ClassDef) -> Iterator[tuple[Function, ast.ClassDef | None]]:
    """Public functions and methods with their class; none that stand within a function."""
    for node in scope.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node)
        elif isinstance(node, Function) and not node.name.startswith("_"):
            yield node, scope if isinstance(scope, ast.ClassDef) else None


def arguments(function: Function) -> tuple[str, ...]:
    given = function.args
    named = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    return tuple(a.arg for a in named if a is not None and a.arg not in {"self", "cls"})


def last_name(node: ast.expr | None) -> str:
    """`Exit` of `raise typer.Exit(1)`, `command` of `@app.command()`."""
    while isinstance(node, ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return str(getattr(node, "attr", "") or getattr(node, "id", ""))


@cache
def contracts() -> set[Contract]:
    """Methods that a protocol or an abstract class documents for those that implement it."""
    return {
        (function.name, arguments(function))
        for package in PACKAGES
        for _, module in modules(package)
        for function, owner in functions(module)
        if owner and {last_name(base) for base in owner.bases} & {"Protocol", "ABC"}
    }


def raised(function: Function) -> set[str]:
    """Names after `raise` in the function itself; not those of one that is passed on."""
    pending, found = list[ast.AST](function.body), set()
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found.add(last_name(node.exc))
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            pending.extend(ast.iter_child_nodes(node))
    return found


def faults(function: Function, documented: Docstring, *, demanded: bool) -> Iterator[str]:
    """What the docstring leaves out, or says of an argument that there is none of."""
    sections = [p for p in documented.params if p.args[0] == "param"]
    described = {p.arg_name.lstrip("*") for p in sections}
    if not demanded and not described:
        return
    if described != set(arguments(function)):
        yield f"Args: {sorted(described)}, where the arguments are {list(arguments(function))}"
    if not demanded:
        return
    gives = ast.unparse(function.returns or ast.Constant(None)) not in {"None", "NoReturn"}
    if gives and documented.returns is None:
        yield "no Returns: (or Yields:)"
    missing = raised(function) - {str(r.type_name).rpartition(".")[2] for r in documented.raises}
    # What a function makes and gives back to be raised has no type of its own here.
    if {name for name in missing if name[:1].isupper()} or (missing and not documented.raises):
        yield f"Raises: lacks {sorted(missing)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_of_many_arguments_document_them(package: str) -> None:
    found = []
    for path, module in modules(package):
        for function, owner in functions(module):
            names = arguments(function)
            decorators = {last_name(decorator) for decorator in function.decorator_list}
            abstract = bool(owner and {last_name(b) for b in owner.bases} & {"Protocol", "ABC"})
            exempt = (
                # A command's options have their help beside them.
                bool(decorators & {"command", "overload", "override"})
                or (owner is not None and not abstract and (function.name, names) in contracts())
            )
            text = ast.get_docstring(function) or ""
            demanded = len(names) >= FEWEST and not exempt
            # Without a section there is nothing to find, and parsing is slow.
            if not demanded and ":\n" not in text:
                continue
            documented = parse(text, DocstringStyle.GOOGLE)
            found += [
                f"{path}:{function.lineno} {function.name}: {fault}"
                for fault in faults(function, documented, demanded=demanded)
            ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("package", [*PACKAGES, "benchmarks", "tests"])
def test_docstrings_have_single_backticks(package: str) -> None:
    found = [
        f"{path}:{getattr(node, 'lineno', 1)}"
        for path, source in sources(package)
        # Few files have any, wherever it is, and parsing all of them takes seconds.
        if "``" in source
        for node in ast.walk(ast.parse(source))
        if isinstance(node, Documented) and "``" in (ast.get_docstring(node) or "")
    ]
    assert not found, "\n" + "\n".join(found)
