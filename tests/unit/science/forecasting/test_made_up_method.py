"""A new method is one module, and one line with its import: chosen, stored, served and named.

`made_up_method.py` is put into a copy of the package, with a line in the list of methods, and
nothing else is changed there.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
LINE = "    ProphetRegression(),\n"
IMPORT = "from aq_science.forecasting.methods."
NEW_IMPORT = f"{IMPORT}made_up_method import DayBefore\n"

TRY_OUT = """
import json
import numpy as np
from aq_science.forecasting.predict import forecast
from aq_science.forecasting.select import fit_models
from tests.unit.science.forecasting.samples import DAY, MIDNIGHT, WEEKS, frame, keys

# The same saw-teeth every day at "teeth", where neither level nor daily waves help; at "other"
# no day is like the one before.
teeth = np.tile(np.random.default_rng(1).permutation(24) * 10.0, WEEKS // 24)
readings = frame("teeth", teeth + np.random.default_rng(2).normal(size=WEEKS)).vstack(
    frame("other", 200 + np.cumsum(np.random.default_rng(3).normal(size=WEEKS)))
)
models = fit_models(readings, DAY, keys("other", "teeth"))
rows = forecast(models, readings, MIDNIGHT, keys("other", "teeth"))
print(json.dumps({
    "models": models.select("station_id", "model", "model_h2", "skill_h1").rows(),
    "stored": [
        [c["lag"], json.loads(c["learned"])]
        for c in models.row(1, named=True)["candidates"] if c["method"] == "day_before"
    ],
    "served": rows.select("station_id", "model", "value", "lower_80", "upper_80").rows(),
    "expected": teeth[:2].tolist(),
}))
"""


@pytest.mark.system
def test_it_is_chosen_stored_served_and_named(tmp_path: Path) -> None:
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "aq_science", tmp_path / "aq_science", ignore=without)
    methods = tmp_path / "aq_science" / "forecasting" / "methods"
    shutil.copy(Path(__file__).with_name("made_up_method.py"), methods)
    registration = methods / "__init__.py"
    text = registration.read_text()
    assert LINE in text
    text = text.replace(LINE, f"{LINE}    DayBefore(),\n").replace(
        IMPORT, f"{NEW_IMPORT}{IMPORT}", 1
    )
    registration.write_text(text)

    samples = tmp_path / "tests" / "unit" / "science" / "forecasting"
    samples.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("samples.py"), samples)
    done = subprocess.run(
        [sys.executable, "-c", TRY_OUT],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    other, teeth = found["models"]
    assert other[1] != "day_before"
    assert teeth[:3] == ["teeth", "day_before", "day_before"]
    assert teeth[3] > 0.9
    assert [lag for lag, _ in found["stored"]] == [1, 2]
    assert all(learned["share"] == pytest.approx(1, abs=0.1) for _, learned in found["stored"])
    served = [row for row in found["served"] if row[0] == "teeth"]
    assert [row[1] for row in served] == ["day_before", "day_before"]
    for (_, _, value, low, high), expected in zip(served, found["expected"], strict=True):
        assert value == pytest.approx(expected, abs=6)
        assert low < value < high
