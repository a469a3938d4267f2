/** Up to four stations beside each other. */
import { useMemo, useState } from "preact/hooks";
import { type DayMean, type Hour, type Overview, useRows } from "../api";
import { day, named, number, t } from "../i18n";
import { rankOfCategory } from "../parts/calendar";
import { Chart, type Line } from "../parts/chart";
import { Badge, Choice, HOUR_MS, nameOf, Outdated, parameterName, stationAddress, Link, useTitle, Waiting, whyUnknown, zoneOf } from "../parts/common";
import { whereabouts } from "./map";

const MOST = 4;
const COLOURS = ["var(--series-1)", "var(--series-2)", "var(--series-3)", "var(--series-4)"];
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
const DAY_MS = 24 * HOUR_MS;
const idOf = (s: Overview): string => `${s.network}:${s.station_id}`;

export function ComparePage() {
  useTitle(t("compareTitle"));
  const [ids, setIds] = useState<string[]>(new URLSearchParams(location.search).getAll("s").slice(0, MOST));
  const [parameter, setParameter] = useState(new URLSearchParams(location.search).get("parameter") ?? "pm25");
  const [days, setDays] = useState(7);
  const read = useRows<Overview>("overview", {});
  const all = read.body?.data ?? [];
  const chosen = ids.flatMap((id) => all.find((s) => idOf(s) === id) ?? []);
  const choose = (next: string[], name = parameter) => {
    setIds(next);
    setParameter(name);
    const asked = new URLSearchParams([...next.map((id) => ["s", id]), ["parameter", name]]);
    history.replaceState(null, "", `/compare?${asked}`);
  };
  const now = Math.floor(new Date(read.body?.now ?? Date.now()).getTime() / HOUR_MS) * HOUR_MS;
  return (
    <article class="page">
      <h1>{t("compareTitle")}</h1>
      <Outdated read={read} />
      <Waiting read={read} />
      <ul class="chosen">
        {chosen.map((s, n) => (
          <li key={idOf(s)} class="card">
            <svg width="30" height="10" aria-hidden="true">
              <path d="M1 5H29" class="line" style={{ stroke: COLOURS[n] }} stroke-dasharray={DASHES[n]} />
            </svg>
            <span class="station-name">
              <Link href={stationAddress(s)}>{nameOf(s)}</Link>
              <span class="quiet">{whereabouts(s)}</span>
              {s.rank_0 === null ? <span class="quiet">{whyUnknown(s, 0)}</span> : null}
            </span>
            <Badge rank={s.rank_0} />
            <button type="button" class="close" aria-label={t("compareRemove", { station: nameOf(s) })} onClick={() => choose(ids.filter((id) => id !== idOf(s)))}>×</button>
          </li>
        ))}
      </ul>
      <div class="controls">
        {ids.length < MOST && (
          <label>
            <span>{t("compareAdd")}</span>
            <select value="" onChange={(e) => e.currentTarget.value && choose([...ids, e.currentTarget.value])}>
              <option value="">{t("compareHint")}</option>
              {all.filter((s) => !ids.includes(idOf(s))).map((s) => (
                <option key={idOf(s)} value={idOf(s)}>{nameOf(s)} · {whereabouts(s)}</option>
              ))}
            </select>
          </label>
        )}
        <label>
          <span>{t("parameter")}</span>
          <select value={parameter} onChange={(e) => choose(ids, e.currentTarget.value)}>
            {["pm25", "pm10", "co", "no2", "o3", "so2"].map((one) => <option key={one} value={one}>{parameterName(one)}</option>)}
          </select>
        </label>
        <Choice
          label={t("period")}
          value={days}
          options={[2, 7, 30].map((value) => ({ value, text: t("days", { n: value }) }))}
          onChoose={setDays}
        />
      </div>
      {chosen.length > 0 && <Comparison {...{ chosen, parameter, days, now }} />}
    </article>
  );
}

interface Compared {
  chosen: Overview[];
  parameter: string;
  days: number;
  now: number;
}

function Comparison({ chosen, parameter, days, now }: Compared) {
  const from = now - days * DAY_MS;
  const asked = {
    network: [...new Set(chosen.map((s) => s.network))],
    station_id: chosen.map((s) => s.station_id),
    parameter,
  };
  const range = { start: new Date(from).toISOString(), end: new Date(now + HOUR_MS).toISOString(), limit: 10_000 };
  const hours = useRows<Hour & { network: string }>("hourly-readings", { ...asked, ...range });
  const means = useRows<DayMean>("daily-averages", {
    ...asked,
    start: range.start.slice(0, 10),
    end: new Date(now + DAY_MS).toISOString().slice(0, 10),
    limit: 10_000,
  });
  const rows = hours.body?.data ?? [];
  const unit = rows[0]?.unit ?? "";
  const lines = useMemo<Line[]>(
    () =>
      chosen.map((s, n) => ({
        name: nameOf(s),
        colour: COLOURS[n] ?? "",
        dash: DASHES[n] ?? "",
        points: rows
          .filter((row) => row.station_id === s.station_id && row.network === s.network)
          .map((row) => ({
            at: new Date(row.hour).getTime(),
            value: row.value,
            flag: row.flag,
            note: row.reasons.map((one) => named("test_", one)).join(", "),
          })),
      })),
    [hours.body, chosen.map(idOf).join()],
  );
  const without = lines.filter((line) => hours.body && !line.points.some((p) => p.value !== null));
  const zones = [...new Set(chosen.map(zoneOf))];
  const zone = zones.length === 1 ? (zones[0] ?? "UTC") : "UTC";
  return (
    <>
      <section class="card">
        <h2>{parameterName(parameter)} <span class="quiet">({zone})</span></h2>
        <Waiting read={hours} />
        {without.map((line) => <p key={line.name} class="notice">{line.name}: {t("chartNone")}</p>)}
        {hours.body && without.length < lines.length && (
          <Chart
            label={t("compareChart", { parameter: parameterName(parameter), n: lines.length })}
            {...{ lines, unit, zone, from }}
            to={now + HOUR_MS}
          />
        )}
      </section>
      <DailyTable chosen={chosen} rows={means.body?.data ?? []} />
    </>
  );
}

function DailyTable({ chosen, rows }: { chosen: Overview[]; rows: DayMean[] }) {
  const dates = [...new Set(rows.map((row) => row.date))].sort().toReversed();
  if (dates.length === 0) return null;
  return (
    <section class="card">
      <h2>{t("compareDays")}</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label={t("compareDays")}>
        <table>
          <thead>
            <tr><th scope="col">{t("date")}</th>{chosen.map((s) => <th key={idOf(s)} scope="col">{nameOf(s)}</th>)}</tr>
          </thead>
          <tbody>
            {dates.map((date) => (
              <tr key={date}>
                <th scope="row">{day(date)}</th>
                {chosen.map((s) => {
                  const mean = rows.find((row) => row.date === date && row.station_id === s.station_id && row.network === s.network);
                  return <td key={idOf(s)}>{mean ? <Mean mean={mean} /> : t("dayNoData")}</td>;
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Mean({ mean }: { mean: DayMean }) {
  if (mean.mean === null) return <>{t("dayNone", { reason: named("reason_", mean.reason ?? "") })}</>;
  const few = t("dayFew", { valid: mean.hours_valid, expected: mean.hours_expected });
  return (
    <>
      <Badge rank={mean.valid ? rankOfCategory(mean.aqi_category) : null} /> {number(mean.mean)} {mean.unit}
      {!mean.valid && <span class="quiet"> {few}</span>}
    </>
  );
}
