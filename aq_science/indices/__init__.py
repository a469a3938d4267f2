"""Air-quality indices: what a concentration means, in words, colours and advice.

`us_epa` has the calculations of the US index and `us_epa_tables` its breakpoints, each table with
the day from which it is in force; `who_2021` has the guideline levels of a day.
"""
