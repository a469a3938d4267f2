"""`/docs`: the OpenAPI document as a page, which runs nothing and asks no other site."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

Json = Mapping[str, Any]

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}: reference</title>
<link rel="icon" type="image/svg+xml" href="{icon}">
<link rel="stylesheet" href="{style}">
</head>
<body>
<header class="top"><a class="brand" href="/">{title}</a>
<nav aria-label="Menu"><a href="/about">About</a><a href="{source}">OpenAPI document</a></nav>
</header>
<main id="content"><article class="page prose">
<h1>{title}: reference</h1>
{body}
</article></main>
</body>
</html>
"""


def reference_page(document: Json, source: str, style: str, icon: str) -> bytes:
    """The page.

    Args:
        document: OpenAPI 3.1, of an API that is asked by GET alone.
        source: Its address.
        style: Address of the stylesheet.
        icon: Address of the icon.

    Returns:
        HTML without any script.
    """
    title = html.escape(document["info"]["title"])
    operations = [(path, of["get"]) for path, of in document["paths"].items() if "get" in of]
    parts = [
        _prose(document["info"].get("description", "")),
        _contents(operations),
        *(_operation(document, path, operation) for path, operation in operations),
    ]
    body = "\n".join(parts)
    page = _PAGE.format(title=title, style=style, icon=icon, source=source, body=body)
    return page.encode()


def _contents(operations: list[tuple[str, Json]]) -> str:
    items = (f'<li><a href="#{_anchor(path)}">{_code(path)}</a></li>' for path, _ in operations)
    return f'<nav aria-label="Resources"><ul>{"".join(items)}</ul></nav>'


def _operation(document: Json, path: str, operation: Json) -> str:
    parameters = operation.get("parameters", [])
    found = [
        f'<section class="card" id="{_anchor(path)}"><h2>GET {_code(path)}</h2>',
        _prose(operation.get("description", operation.get("summary", ""))),
    ]
    if example := _example(path, parameters):
        found.append(f'<p>For example <a href="{html.escape(example)}">{_code(example)}</a></p>')
    if parameters:
        rows = (
            (_code(one["name"]), _kind(one["schema"]), _meaning(one), _limits(one))
            for one in parameters
        )
        found.append(_table(path, "Parameters", ("name", "type", "meaning", "limits"), rows))
    answers = operation.get("responses", {})
    statuses = (
        (_code(status), _inline(of.get("description", "")), _forms(of))
        for status, of in answers.items()
    )
    found.append(_table(path, "Answers", ("status", "meaning", "forms"), statuses))
    if fields := list(_fields(document, answers)):
        found.append(_table(path, "Members of JSON", ("name", "type", "meaning"), fields))
    return "\n".join([*found, "</section>"])


def _fields(document: Json, answers: Json) -> Iterator[tuple[str, str, str]]:
    """The members of an answer, those of its rows among them."""
    content = answers.get("200", {}).get("content", {}).get("application/json", {})
    schema = _resolved(document, content.get("schema", {}))
    for name, member in schema.get("properties", {}).items():
        yield _code(name), _kind(member), _inline(member.get("description", ""))
        row = _resolved(document, member.get("items", {}))
        for inner, column in row.get("properties", {}).items():
            text = _inline(column.get("description", ""))
            yield _code(f"{name}[].{inner}"), _kind(column), text


def _resolved(document: Json, schema: Json) -> Json:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Json = document["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _kind(schema: Json) -> str:
    """A schema's type in words: its own, or those of its parts."""
    if "$ref" in schema:
        return html.escape(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(_code(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"any number of {_kind(schema.get('items', {}))}"
    return html.escape(str(schema.get("type", "any")))


def _meaning(parameter: Json) -> str:
    needed = "<strong>required</strong>. " if parameter.get("required") else ""
    return needed + _inline(parameter.get("description", ""))


_NAMES = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "maxItems": "at most so many:",
    "default": "without:",
}


def _limits(parameter: Json) -> str:
    schema = parameter["schema"]
    parts = [schema, *schema.get("anyOf", [])]
    found = (
        f"{text} {html.escape(str(part[name]))}"
        for part in parts
        for name, text in _NAMES.items()
        if name in part and part[name] not in (None, [])
    )
    return ", ".join(found)


def _forms(answer: Json) -> str:
    return ", ".join(_code(form) for form in answer.get("content", {}))


def _example(path: str, parameters: Iterable[Json]) -> str | None:
    """An address that can be asked; None where a part of it has no example."""
    asked = []
    for one in parameters:
        values = one["schema"].get("examples", one.get("examples", []))
        if not one.get("required"):
            continue
        if not isinstance(values, list) or not values:
            return None
        value = quote(str(values[0]), safe=":")
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", value)
        else:
            asked.append(f"{one['name']}={value}")
    return None if "{" in path else path + ("?" + "&".join(asked) if asked else "")


def _table(path: str, caption: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    names = "".join(f'<th scope="col">{name}</th>' for name in head)
    of = html.escape(path)
    # By keyboard too: what is wider than the page scrolls.
    return (
        f"<h3>{caption}</h3>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption} of {of}">'
        f"<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _prose(text: str) -> str:
    """Paragraphs and lists of a text in Markdown, of which no more is used."""
    parts = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = re.split(r"\n?^\* ", block.strip(), flags=re.MULTILINE)
        if lines[0]:
            parts.append(f"<p>{_inline(lines[0])}</p>")
        if items := lines[1:]:
            parts.append(f"<ul>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</ul>")
    return "\n".join(parts)


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _code(value: object) -> str:
    return f"<code>{html.escape(str(value))}</code>"


def _anchor(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path).strip("-")
