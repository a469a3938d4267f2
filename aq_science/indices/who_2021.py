"""24-hour levels of the WHO global air quality guidelines 2021, in each parameter's canonical unit.

WHO (2021), ISBN 978-92-4-003422-8, Table 0.1; the level of O3 is for the highest 8-hour mean.
"""

from __future__ import annotations

WHO_2021_DAILY = {"pm25": 15.0, "pm10": 45.0, "no2": 25.0, "so2": 40.0, "co": 4.0, "o3": 100.0}
WHO_2021_8H = frozenset({"o3"})
