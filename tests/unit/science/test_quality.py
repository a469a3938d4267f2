"""Quality tests: each reason by name, the flag it leads to, and what no test may ever do."""

import doctest
import importlib
import pkgutil
from datetime import timedelta
from itertools import product

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_science import quality
from aq_science.parameters import PARAMETERS, SENTINELS
from aq_science.quality.core import NOTHING, Criterion, QualityTest, Suite
from aq_science.quality.findings import findings, flag_readings
from aq_science.quality.flat_line import flat_line_of_zeros
from aq_science.quality.suite import STANDARD
from aq_science.tables.types import FLAGS, PARAMETER, STATUS
from aq_science.windows import Window
from tests.factories import DAY, HOUR, MIDNIGHT
from tests.laws import examples

SCHEMA = pl.Schema(
    {
        "station_id": pl.Categorical(),
        "parameter": PARAMETER,
        "hour": pl.Datetime("us", "UTC"),
        "value": pl.Float64(),
        "value_native": pl.Float64(),
        "duplicate": pl.Boolean(),
        "coverage": pl.Float64(),
        "provider_flag": pl.Boolean(),
        "channels_apart": pl.Float64(),
        "status": STATUS,
    }
)
UNKNOWN = (None, False, None, None)
SAME = object()


def readings(*values: float | None, parameter: str = "pm25", start=MIDNIGHT) -> pl.DataFrame:
    return pl.DataFrame(
        [("s1", parameter, start + n * HOUR, v, v, False, *UNKNOWN) for n, v in enumerate(values)],
        schema=SCHEMA,
        orient="row",
    )


def each_alone(readings: list[tuple[str, float]]) -> list[tuple[str, list[str]]]:
    """Flag and reasons of readings by parameter and value, each of a station of its own."""
    frame = pl.DataFrame(
        [
            (f"s{n}", parameter, MIDNIGHT, value, value, False, *UNKNOWN)
            for n, (parameter, value) in enumerate(readings)
        ],
        schema=SCHEMA,
        orient="row",
    )
    return list(flag_readings(frame).select("flag", "reasons").iter_rows())


def judged(
    value: float | None,
    parameter: str = "pm25",
    *,
    native: object = SAME,
    duplicate: bool = False,
) -> tuple[str, list[str]]:
    """Flag and reasons of a single reading."""
    native = value if native is SAME else native
    frame = pl.DataFrame(
        [("s1", parameter, MIDNIGHT, value, native, duplicate, *UNKNOWN)],
        schema=SCHEMA,
        orient="row",
    )
    row = flag_readings(frame).row(0, named=True)
    return row["flag"], row["reasons"]


@pytest.mark.parametrize(
    ("arguments", "flag", "reasons"),
    [
        pytest.param({"value": 10.0}, "valid", [], id="plausible"),
        pytest.param({"value": None}, "missing", ["no_value"], id="no_value"),
        pytest.param({"value": float("nan")}, "invalid", ["not_finite"], id="nan"),
        pytest.param({"value": float("inf")}, "invalid", ["not_finite"], id="infinite"),
        pytest.param(
            {"value": None, "native": 3.0}, "invalid", ["unknown_unit"], id="unknown_unit"
        ),
        pytest.param({"value": 1000.5}, "invalid", ["gross_range"], id="above-fail"),
        pytest.param({"value": 500.5}, "suspect", ["gross_range"], id="above-suspect"),
        pytest.param({"value": 20.0, "parameter": "co"}, "suspect", ["gross_range"], id="co"),
        pytest.param({"value": -11.0}, "invalid", ["gross_range", "negative"], id="below-fail"),
        pytest.param({"value": 10.0, "duplicate": True}, "suspect", ["duplicate_hour"], id="twice"),
        pytest.param({"value": -3.0}, "valid", ["negative"], id="small-negative"),
        pytest.param({"value": -0.3, "parameter": "co"}, "valid", ["negative"], id="negative-co"),
        pytest.param({"value": -10.0, "parameter": "temperature"}, "valid", [], id="frost"),
        pytest.param({"value": 0.0, "parameter": "temperature"}, "valid", [], id="freezing-point"),
        pytest.param({"value": 0.0}, "valid", [], id="one-zero-of-pm25"),
        pytest.param({"value": 0.0, "parameter": "co"}, "suspect", ["flat_line"], id="co-zero"),
    ],
)
def test_reason_and_flag(arguments: dict, flag: str, reasons: list[str]) -> None:
    assert judged(**arguments) == (flag, reasons)


def test_a_flag_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="odd: no such flag: bad"):
        QualityTest("odd", {"bad": Criterion(pl.lit(value=True), NOTHING, NOTHING)})


def test_two_tests_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="tests of one name: negative"):
        Suite((*STANDARD.tests, STANDARD.tests[-1]))


@pytest.mark.parametrize("name", [m.name for m in pkgutil.iter_modules(quality.__path__)])
def test_examples_of_the_docstrings_are_true(name: str) -> None:
    module = importlib.import_module(f"aq_science.quality.{name}")
    assert doctest.testmod(module).failed == 0


def test_no_sentinel_is_ever_a_reading() -> None:
    every = list(product(PARAMETERS, SENTINELS))
    for one, (flag, reasons) in zip(every, each_alone(every), strict=True):
        assert flag == "invalid", one
        assert "sentinel" in reasons, one


def test_sentinel_is_known_by_the_value_as_reported() -> None:
    """−999 µg/m³ of CO is −0.999 mg/m³."""
    flag, reasons = judged(-0.999, "co", native=-999.0)
    assert (flag, reasons[0]) == ("invalid", "sentinel")


@pytest.mark.parametrize(("side", "beyond"), [(0, -1e-6), (1, 1e-6)], ids=["lower", "upper"])
def test_bounds_themselves_are_inside(side: int, beyond: float) -> None:
    for name, spec in PARAMETERS.items():
        fail, suspect = spec.fail[side], spec.suspect[side]
        at_fail, above_fail, at_suspect, above_suspect = each_alone(
            [(name, value) for value in (fail, fail + beyond, suspect, suspect + beyond)]
        )
        assert at_fail[0] != "invalid", name
        assert above_fail[0] == "invalid", name
        assert "gross_range" in above_fail[1], name
        assert "gross_range" not in at_suspect[1], name
        assert above_suspect[0] == ("invalid" if fail == suspect else "suspect"), name
        assert "gross_range" in above_suspect[1], name


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        pytest.param({"value": 600.0, "duplicate": True}, "suspect", id="two-suspects"),
        pytest.param({"value": 2000.0, "duplicate": True}, "invalid", id="invalid-beats-suspect"),
        pytest.param({"value": None, "duplicate": True}, "missing", id="missing-beats-suspect"),
        pytest.param({"value": -3.0, "duplicate": True}, "suspect", id="suspect-beats-valid"),
    ],
)
def test_worst_reason_decides(arguments: dict, flag: str) -> None:
    got, reasons = judged(**arguments)
    assert got == flag
    assert len(reasons) == 2
    assert reasons == [name for name in STANDARD.names if name in reasons]


def zeros(count: int, of: int, parameter: str = "pm25", start=MIDNIGHT) -> pl.DataFrame:
    return readings(*[0.0] * count, *[5.0] * (of - count), parameter=parameter, start=start)


@pytest.mark.parametrize(
    ("parameter", "count", "of", "stuck"),
    [
        ("pm25", 24, 24, True),
        ("pm25", 18, 24, True),
        ("pm25", 17, 24, False),
        ("pm25", 6, 8, True),
        ("pm25", 6, 9, False),
        ("pm25", 5, 5, False),
        ("co", 1, 1, True),
        ("co", 3, 4, True),
        ("co", 2, 4, False),
    ],
)
def test_stuck_from_three_quarters_of_present_hours_and_enough_of_them(
    parameter: str, count: int, of: int, stuck: bool
) -> None:
    flagged = flag_readings(zeros(count, of, parameter))
    hit = flagged.filter(pl.col("reasons").list.contains("flat_line"))
    assert len(hit) == (count if stuck else 0)
    assert (hit["value"] == 0).all()
    assert (flagged.filter(pl.col("value") != 0)["flag"] == "valid").all()


def flat_lines(frame: pl.DataFrame) -> pl.DataFrame:
    """The readings that are found, for the thresholds of the standard suite."""
    at_least = {name: p.zero_hours for name, p in PARAMETERS.items()}
    return frame.filter(flat_line_of_zeros(frame, at_least=at_least, share=0.75).fires)


@pytest.mark.parametrize("neighbour", ["s2", "no2"], ids=["another-station", "another-parameter"])
def test_stuck_is_a_matter_of_one_sensor(neighbour: str) -> None:
    stuck = zeros(24, 24)
    if neighbour == "s2":
        other = zeros(0, 24).with_columns(pl.lit("s2", pl.Categorical()).alias("station_id"))
    else:
        other = zeros(0, 24, neighbour)
    found = flat_lines(pl.concat([stuck, other]))
    assert found.select("station_id", "parameter").unique().rows() == [("s1", "pm25")]


day_of_values = st.lists(
    st.one_of(st.none(), st.sampled_from([0.0, 5.0, -1.0, 700.0])), min_size=24, max_size=24
)


@settings(max_examples=examples(30))
@given(st.lists(day_of_values, min_size=1, max_size=5), st.sampled_from(["pm25", "co"]))
def test_flags_of_a_day_depend_on_nothing_beyond_the_context(
    days: list[list[float | None]], parameter: str
) -> None:
    parts = [
        readings(*values, parameter=parameter, start=MIDNIGHT + n * DAY)
        for n, values in enumerate(days)
    ]
    every_day = pl.concat(parts)
    together = flag_readings(every_day)
    alone = []
    for n in range(len(days)):
        day = Window(MIDNIGHT + n * DAY, MIDNIGHT + (n + 1) * DAY)
        seen = STANDARD.with_context(day)
        near = every_day.filter(pl.col("hour").is_between(seen.start, seen.end, closed="left"))
        own = pl.col("hour").is_between(day.start, day.end, closed="left")
        alone.append(flag_readings(near).filter(own))
    assert_frame_equal(together, pl.concat(alone))


@given(
    st.lists(st.one_of(st.none(), st.floats(-2000, 70_000), st.just(float("nan"))), max_size=30),
    st.sampled_from(sorted(PARAMETERS)),
    st.randoms(use_true_random=False),
)
def test_values_and_order_are_never_altered(values: list, parameter: str, random) -> None:
    frame = readings(*values, parameter=parameter)
    order = list(range(len(values)))
    random.shuffle(order)
    frame = frame[order]
    flagged = flag_readings(frame)
    kept = ["station_id", "parameter", "hour", "value_native", "duplicate"]
    assert_frame_equal(flagged.select(kept), frame.select(kept))
    # What is no number cannot be averaged; it stays readable in value_native.
    finite = frame.with_columns(value=pl.when(pl.col("value").is_finite()).then("value"))
    assert_frame_equal(flagged.select("value"), finite.select("value"))
    assert flagged["flag"].null_count() == 0
    assert flagged["reasons"].null_count() == 0


def test_no_readings_give_no_rows() -> None:
    flagged = flag_readings(readings())
    assert flagged.is_empty()
    assert {"flag", "reasons"} <= set(flagged.columns)


def test_hour_of_another_day_is_another_group() -> None:
    late = readings(0.0, 0.0, 0.0, start=MIDNIGHT - timedelta(hours=3), parameter="co")
    early = readings(5.0, 5.0, parameter="co")
    found = flat_lines(pl.concat([late, early]))
    assert found["hour"].to_list() == late["hour"].to_list()


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        pytest.param(
            readings(None, float("nan"), -999.0, parameter="co"),
            [
                (0, "no_value", "missing", None, None),
                (1, "not_finite", "invalid", float("nan"), None),
                (2, "sentinel", "invalid", -999.0, -999.0),
                (2, "gross_range", "invalid", -999.0, -0.6),
                (2, "negative", "valid", -999.0, 0.0),
            ],
            id="values",
        ),
        pytest.param(
            readings(16.0, 51.0, 2.0, -1.0, parameter="co"),
            [
                (0, "gross_range", "suspect", 16.0, 15.0),
                (1, "gross_range", "invalid", 51.0, 50.0),
                (3, "gross_range", "invalid", -1.0, -0.6),
                (3, "negative", "valid", -1.0, 0.0),
            ],
            id="spans",
        ),
        pytest.param(
            readings(*[0.0] * 6, 5.0, None),
            [(n, "flat_line", "suspect", 6.0, 6.0) for n in range(6)]
            + [(7, "no_value", "missing", None, None)],
            id="flat-line-of-enough",
        ),
        pytest.param(
            zeros(20, 24)[:21],
            [(n, "flat_line", "suspect", 20.0, 15.75) for n in range(20)],
            id="flat-line-of-a-share",
        ),
    ],
)
def test_findings_say_what_was_seen_and_what_the_limit_is(
    frame: pl.DataFrame, expected: list[tuple]
) -> None:
    found = findings(frame[::-1]).with_columns((pl.col("hour") - MIDNIGHT).dt.total_hours())
    columns = ["hour", "test", "flag", "observed", "limit"]
    assert repr(found.select(columns).rows()) == repr(expected)
    assert found.columns == ["station_id", "parameter", "hour", "test", "version", *columns[2:]]
    versions = {test.name: test.version for test in STANDARD.tests}
    assert found["version"].to_list() == [versions[test] for test in found["test"]]


@settings(max_examples=examples(40))
@given(st.lists(day_of_values, min_size=1, max_size=2), st.sampled_from(["pm25", "co"]))
def test_findings_are_the_reasons_and_the_worst_of_them_is_the_flag(
    days: list[list[float | None]], parameter: str
) -> None:
    frame = readings(*(value for values in days for value in values), parameter=parameter)
    found = findings(frame)
    by_hour = {
        hour: (rows["test"].to_list(), max(rows["flag"].to_list(), key=FLAGS.index))
        for (hour,), rows in found.partition_by("hour", as_dict=True).items()
    }
    flagged = flag_readings(frame)
    for hour, reasons, flag in flagged.select("hour", "reasons", "flag").iter_rows():
        assert by_hour.get(hour, ([], "valid")) == (reasons, flag)


def test_there_may_be_more_tests_than_bits_in_a_number() -> None:
    def above(limit: int) -> QualityTest:
        value = pl.col("value")
        return QualityTest(
            f"above_{limit}", {"suspect": Criterion(value > limit, value, pl.lit(float(limit)))}
        )

    suite = Suite(tuple(above(limit) for limit in range(100)))
    flagged = flag_readings(readings(-1.0, 40.5, 99.5, 40.5), suite)
    counts = [0, 41, 100, 41]
    assert flagged["reasons"].to_list() == [suite.names[:count] for count in counts]
    assert flagged["flag"].to_list() == ["valid", "suspect", "suspect", "suspect"]
