"""A benchmark of two commits in one run: `python -m benchmarks.against REVISION backfill`.

Runs the module of each tree in turn and prints, for every line that ends in seconds or MiB, the
medians of both and their ratio. What differs by less than the spread is the machine's noise.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import defaultdict
from statistics import median

from benchmarks.commits import Side, both_sides
from benchmarks.common import machine

_LINE = re.compile(r"^\s*(?P<what>\S.*?)[: ]+(?P<number>[\d,]+(?:\.\d+)?) ?(?P<unit>s|MiB)\b")


def numbers(output: str) -> dict[str, float]:
    """The first number of every line that has one with a unit, by the text before it."""
    found = (_LINE.match(line) for line in output.splitlines())
    return {
        f"{line['what']}, {line['unit']}": float(line["number"].replace(",", ""))
        for line in found
        if line
    }


def run(side: Side, module: str, arguments: list[str]) -> dict[str, float]:
    """One run of a benchmark in a side's tree."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=side.root,
        env=side.environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return numbers(done.stdout)


def main() -> None:
    """Measure in turn and print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("revision")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("module")
    options.add_argument("arguments", nargs=argparse.REMAINDER)
    given = options.parse_args()
    print(f"{given.module} {' '.join(given.arguments)}, {given.rounds} rounds ({machine()})")
    found: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    with both_sides(given.revision) as sides:
        for _ in range(given.rounds):
            for index, side in enumerate(sides):
                for what, number in run(side, given.module, given.arguments).items():
                    found[what][index].append(number)
    print(f"{'':44}{given.revision[:12]:>12}{'this tree':>12}{'ratio':>8}")
    for what, (before, after) in found.items():
        if before and after:
            old, new = median(before), median(after)
            print(f"{what:44}{old:12.2f}{new:12.2f}{new / old if old else 0:8.3f}")


if __name__ == "__main__":
    main()
