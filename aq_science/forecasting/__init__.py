"""Forecasts of the next two hours: fitted once a day (`select`), made every hour (`predict`).

A way to forecast is a module of `methods`; everything else here knows the protocol alone.

Terms. *Lag*: hours from the start of the last valid reading's hour to the start of the predicted
hour; 1 and 2 for the two horizons when the last hour arrived, more when it is late. *Candidate*:
one method at one lag, with what it learned and its interval quantiles. A model row holds its
candidates best first, and the first that can be computed is served: choice and fallback are one
list.
"""
