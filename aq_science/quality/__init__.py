"""Quality tests on hourly readings: a bad value is flagged, never changed or removed.

A module a family of tests: each test is a plain function of its thresholds that returns a
`Criterion` (`core`). Which of them run, with which thresholds for which parameter and in which
order, is the table in `suite`; `findings` runs a suite over readings.

A new test is one module and one line of registration: write the function, with its exact predicate
and an example in the docstring, and add a `QualityTest` to `STANDARD` at the place where its name
shall stand within `reasons`. A test that looks at hours beyond the UTC day of the reading says so
by `before` and `after`; everything else follows from that: more is read, and the days beside a
changed one are flagged again. Then describe its reason in the table of docs/architecture.md.
"""
