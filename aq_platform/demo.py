"""What the demo found, as tables for the terminal."""

from __future__ import annotations

from rich.console import Console

from aq_platform.tables import print_frame
from aq_resources.services import Services


def print_findings(services: Services, console: Console) -> None:
    """Stations, the last daily averages and the next two hours' forecasts."""
    console.print("The sandbox has made these readings up: no one measured them.")
    connection = services.warehouse.connect_read_only()
    try:
        for title, sql in _FINDINGS.items():
            print_frame(connection.sql(sql).pl(), console, title)
    finally:
        connection.close()


_FINDINGS = {
    "Stations": """
        SELECT network, station_id, name, city, round(latitude, 4) AS latitude,
               round(longitude, 4) AS longitude, timezone, len(parameters) AS parameters
        FROM air_quality.stations ORDER BY ALL""",
    "Last daily averages": """
        SELECT network, coalesce(name, station_id) AS station, parameter, date,
               round(mean, 2) AS mean, d.unit, hours_valid || '/' || hours_expected AS hours,
               CASE WHEN hours_valid < hours_expected THEN concat_ws(', ',
                   CASE WHEN hours_present < hours_expected
                       THEN (hours_expected - hours_present) || ' not there' END,
                   tests) END AS "other hours",
               CASE WHEN valid THEN 'yes' ELSE 'no' END AS valid, aqi, aqi_category
        FROM air_quality.daily_averages d
        LEFT JOIN air_quality.stations s USING (network, station_id)
        LEFT JOIN (
            SELECT h.network, h.station_id, parameter, timezone(timezone, hour)::DATE AS date,
                   string_agg(DISTINCT reason, ', ' ORDER BY reason) AS tests
            FROM air_quality.hourly_readings h
            JOIN air_quality.stations USING (network, station_id), unnest(reasons) AS r(reason)
            WHERE flag IN ('suspect', 'invalid') AND hour > current_date - INTERVAL 4 DAY
            GROUP BY ALL) found USING (network, station_id, parameter, date)
        WHERE parameter IN ('pm25', 'co')
          AND date > (SELECT max(date) FROM air_quality.daily_averages) - 2
        ORDER BY network, station, parameter, date""",
    "Forecast of the next two hours": """
        SELECT network, coalesce(name, station_id) AS station, parameter,
               strftime(hour, '%H:%M UTC') AS hour, round(value, 2) AS value,
               round(lower_80, 2) || ' - ' || round(upper_80, 2) AS "80 % interval", unit, model
        FROM air_quality.forecasts LEFT JOIN air_quality.stations USING (network, station_id)
        WHERE issued_for = (SELECT max(issued_for) FROM air_quality.forecasts)
        ORDER BY network, station, parameter, horizon""",
}
