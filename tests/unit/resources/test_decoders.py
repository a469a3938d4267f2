"""msgspec's decoders of structs, and threads that need the same one at the same time."""

from __future__ import annotations

import ast
import subprocess
import sys

import msgspec
import pytest

from aq_resources.decoders import decoder_of
from tests.conftest import ROOT

# Each round has structs of its own, which eight threads need for the first time at once.
CROWD = """
import sys, threading
from typing import Generic, TypeVar
import msgspec
from aq_resources.decoders import converted, decoder_of

Row = TypeVar("Row")
sys.setswitchinterval(1e-6)
for _ in range(300):
    Unit = msgspec.defstruct("Unit", [("id", int), ("name", str)])
    Hour = msgspec.defstruct("Hour", [("value", float), ("unit", Unit)])

    class Page(msgspec.Struct, Generic[Row]):
        results: list[Row]

    Record = msgspec.defstruct("Record", [("unit", Unit), ("value", float)])
    together = threading.Barrier(8)

    def read():
        together.wait()
        decoder_of(Page[Hour]).decode(b'{"results":[{"value":1.0,"unit":{"id":1,"name":"x"}}]}')
        converted({"unit": {"id": 1, "name": "x"}, "value": 1.0}, Record)

    threads = [threading.Thread(target=read) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""


class Pair(msgspec.Struct):
    left: int
    right: int


def test_a_struct_has_one_decoder() -> None:
    assert decoder_of(Pair) is decoder_of(Pair)
    assert decoder_of(Pair).decode(b'{"left": 1, "right": 2}') == Pair(1, 2)


@pytest.mark.server
def test_threads_that_need_a_struct_for_the_first_time_at_once_all_get_it() -> None:
    done = subprocess.run([sys.executable, "-c", CROWD], cwd=ROOT, check=False)
    # A segmentation fault would be a negative number.
    assert done.returncode == 0


def test_no_struct_is_decoded_past_them() -> None:
    """A decoder is made at a module's import, or by `decoder_of`."""
    found = []
    for path in ROOT.glob("aq_*/**/*.py"):
        source = path.read_text("utf-8")
        for node in ast.walk(ast.parse(source if "msgspec" in source else "")):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called == "msgspec.json.decode":
                kinds = [ast.unparse(one.value) for one in node.keywords if one.arg == "type"]
                found += [
                    f"{path.relative_to(ROOT)}:{node.lineno}"
                    for kind in kinds
                    if kind not in ("msgspec.Raw", "list[msgspec.Raw]")
                ]
            # The sandbox converts faults alone, whose decoder stands in a module.
            elif called == "msgspec.convert" and not (
                path.parent.name == "aq_sandbox" or path.name == "decoders.py"
            ):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []
