"""Air-quality indices: what a concentration means, in words, colours and advice.

`us_epa` has the calculations of the US index and `us_epa_tables` its breakpoints, each table with
the day from which it is in force; `european` is the European index of 2024, `nowcast` the weighted
mean from which the US index of the hour is made, and `who_2021` the guideline levels of a day.
"""
