"""Colours of the US EPA index's categories, and what the EPA advises in each, by pollutant.

Colours: EPA-454/B-24-002, Table 2. Advice: the cautionary statements of EPA-454/B-18-007, Table 4,
a work of the US government and in the public domain.
"""

from __future__ import annotations

COLOURS = ("#00E400", "#FFFF00", "#FF7E00", "#FF0000", "#8F3F97", "#7E0023")

ADVICE_SOURCE = "EPA-454/B-18-007"

_NONE = "None"
_HEART_OR_LUNG = "eople with heart or lung disease, older adults, and children"
_HEART = "People with heart disease, such as angina,"
_LUNG = "People with lung disease, such as asthma, children, older adults, and outdoor workers"
_ASTHMA = "People with asthma, children, and older adults"
_ASTHMA_OR_LUNG = "Children, people with asthma, or other lung diseases,"
_SOURCES = "sources of CO, such as heavy traffic"
_ROADS = "especially near busy roads."

_PARTICLES = f"""
{_NONE}
Unusually sensitive people should consider reducing prolonged or heavy exertion.
P{_HEART_OR_LUNG} should reduce prolonged or heavy exertion.
P{_HEART_OR_LUNG} should avoid prolonged or heavy exertion; everyone else should reduce prolonged \
or heavy exertion.
P{_HEART_OR_LUNG} should avoid all physical activity outdoors. Everyone else should avoid \
prolonged or heavy exertion.
Everyone should avoid all physical activity outdoors; p{_HEART_OR_LUNG} should remain indoors and \
keep activity levels low.
"""

_CO = f"""
{_NONE}
{_NONE}
{_HEART} should limit heavy exertion and avoid {_SOURCES}.
{_HEART} should limit moderate exertion and avoid {_SOURCES}.
{_HEART} should avoid exertion and {_SOURCES}.
{_HEART} should avoid exertion and {_SOURCES}; everyone else should limit heavy exertion.
"""

_O3 = f"""
{_NONE}
Unusually sensitive people should consider reducing prolonged or heavy outdoor exertion.
{_LUNG} should reduce prolonged or heavy outdoor exertion.
{_LUNG} should avoid prolonged or heavy outdoor exertion; everyone else should reduce prolonged or \
heavy outdoor exertion.
{_LUNG} should avoid all outdoor exertion; everyone else should reduce outdoor exertion.
Everyone should avoid all outdoor exertion.
"""

_NO2 = f"""
{_NONE}
Unusually sensitive individuals should consider limiting prolonged exertion, {_ROADS}
{_ASTHMA} should limit prolonged exertion, {_ROADS}
{_ASTHMA} should avoid prolonged exertion near roadways; everyone else should limit prolonged \
exertion, {_ROADS}
{_ASTHMA} should avoid all outdoor exertion; everyone else should avoid prolonged exertion, {_ROADS}
{_ASTHMA} should remain indoors; everyone else should avoid all outdoor exertion.
"""

_SO2 = f"""
{_NONE}
{_NONE}
People with asthma should consider limiting outdoor exertion.
{_ASTHMA_OR_LUNG} should limit outdoor exertion.
{_ASTHMA_OR_LUNG} should avoid outdoor exertion; everyone else should reduce outdoor exertion.
{_ASTHMA_OR_LUNG} should remain indoors; everyone else should avoid outdoor exertion.
"""

# By parameter, from the best category to the worst.
ADVICE = {
    parameter: tuple(statements.strip().splitlines())
    for parameter, statements in (
        ("pm25", _PARTICLES),
        ("pm10", _PARTICLES),
        ("co", _CO),
        ("o3", _O3),
        ("no2", _NO2),
        ("so2", _SO2),
    )
}
