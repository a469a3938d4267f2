/** One station: now and next, readings with flags and gaps, the forecast's fan, its year, its skill. */
import { useMemo, useState } from "preact/hooks";
import {
  address, type Category, type DayMean, type Forecast, type Gap, type Hour, type NetworkHealth, type Overview, type Page,
  type Read, type Score, type Station, useRead, useRows,
} from "../api";
import { clock, current, dayAndClock, day, moment, named, number, percent, t } from "../i18n";
import { adviceIn } from "../i18n/advice";
import { useLive } from "../live";
import { Calendar } from "../parts/calendar";
import { Chart, type Fan, FlagMark, type Line, type Span } from "../parts/chart";
import {
  Badge, categoryName, Choice, HORIZON_NAMES, HORIZONS, HOUR_MS, hourSpan, Legend, Link, nameOf, Outdated, parameterName,
  useTitle, Waiting, whyUnknown, zoneOf,
} from "../parts/common";
import { NetworksDown, whereabouts } from "./map";

const PERIODS = [2, 7, 30];
const FORECAST_PARAMETERS = ["pm25", "co"];
const SCORED_DAYS = 30;
const DAY_MS = 24 * HOUR_MS;
const utcDay = (at: number): string => new Date(at).toISOString().slice(0, 10);
const localDay = (at: number, zone: string): string =>
  new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" }).format(at);
const toHour = (at: number): string => new Date(Math.floor(at / HOUR_MS) * HOUR_MS).toISOString();

interface Context {
  key: { network: string; station_id: string };
  parameter: string;
  zone: string;
  now: number;
}

/** The server says which quarter of an hour it is; within that the device's clock knows better. */
const QUARTER_MS = 15 * 60_000;

export function StationPage() {
  const asked = new URLSearchParams(location.search);
  const network = asked.get("network") ?? "";
  const station_id = asked.get("station_id") ?? "";
  const overview = useRows<Overview>("overview", { network, station_id });
  const described = useRows<Station>("stations", { network, station_id });
  const station = overview.body?.data[0];
  const parameters = described.body?.data[0]?.parameters ?? [];
  const [wished, setParameter] = useState(asked.get("parameter") ?? "pm25");
  useTitle(station ? nameOf(station) : t("stations"));
  if (!station || !described.body) {
    const refused = overview.error?.status === 404 || (overview.body !== null && !station);
    return (
      <section class="page">
        {refused ? <h1>{t("stationUnknown")}</h1> : <Waiting read={station ? described : overview} />}
        {refused && <p><Link href="/">{t("toMap")}</Link></p>}
      </section>
    );
  }
  const parameter = parameters.includes(wished) ? wished : (parameters.find((one) => one === "pm25") ?? parameters[0] ?? wished);
  const now = new Date(overview.body?.now ?? Date.now()).getTime();
  const zone = zoneOf(station);
  const minute = Math.abs(Date.now() - now) < QUARTER_MS ? Date.now() : now;
  const context: Context = { key: { network: station.network, station_id: station.station_id }, parameter, zone, now };
  return (
    <article class="page station">
      <header class="station-head">
        <div>
          <h1>{nameOf(station)}</h1>
          <p class="quiet">
            {whereabouts(station)} · {t("localTime", { time: clock(new Date(minute), zone), zone })}
            {station.latitude === null && ` · ${t("noPosition")}`}
          </p>
        </div>
        <Link class="button" href={`/compare?${new URLSearchParams({ s: `${station.network}:${station.station_id}` })}`}>
          {t("compareThis")}
        </Link>
      </header>
      <Outdated read={overview} />
      <Notices station={station} />
      <Current station={station} context={context} />
      <LiveValues station={station} />
      <div class="controls">
        <label>
          <span>{t("parameter")}</span>
          <select value={parameter} onChange={(e) => setParameter(e.currentTarget.value)}>
            {parameters.map((one) => <option key={one} value={one}>{parameterName(one)}</option>)}
          </select>
        </label>
      </div>
      <Series station={station} context={context} described={described.body} />
    </article>
  );
}

function Notices({ station }: { station: Overview }) {
  const networks = useRows<NetworkHealth>("networks", { network: station.network });
  const zone = zoneOf(station);
  const known = station.newest_valid_hour;
  return (
    <>
      <NetworksDown networks={networks.body?.data ?? []} />
      {station.state !== "current" && (
        <p class="notice notice-warn" role="status">
          {whyUnknown(station, 0)}{" "}
          {known ? t("notNow", { time: dayAndClock(new Date(known), zone) }) : t("neverValid")}
        </p>
      )}
    </>
  );
}

/** Index and advice of three hours. */
function Current({ station, context }: { station: Overview; context: Context }) {
  const read = useRows<Category>("category", context.key);
  const rows = read.body?.data ?? [];
  const categories = useRows<{ parameter: string; source: string }>("index-categories", { index_name: "us_epa", table_name: "2024" });
  const source = categories.body?.data[0]?.source.split("advice: ")[1] ?? "";
  return (
    <section aria-label={t("indexName")}>
      <div class="cards">
        {HORIZONS.map((horizon) => {
          const rank = station[`rank_${horizon}`];
          const hour = station[`hour_${horizon}`];
          const of = rows.find((row) => row.horizon === horizon && row.parameter === station[`parameter_${horizon}`]);
          return (
            <section key={horizon} class={horizon === 0 ? "card card-now" : "card"}>
              <h2>{t(HORIZON_NAMES[horizon])}</h2>
              {rank === null || hour === null ? (
                <p class="reading"><Badge rank={null} large /><span>{whyUnknown(station, horizon)}</span></p>
              ) : (
                <>
                  <p class="reading">
                    <Badge rank={rank} large />
                    <span>
                      <strong class="category">{categoryName(rank)}</strong>
                      <span class="quiet">
                        {t(horizon === 0 ? "measuredHour" : "forecastHour", hourSpan(hour, context.zone))}
                        <br />
                        {t("from", { parameter: parameterName(station[`parameter_${horizon}`] ?? "") })}
                        {of && `: ${number(of.value)} ${of.unit}`}
                        {of?.aqi != null && ` · ${t("index")} ${of.aqi}`}
                      </span>
                    </span>
                  </p>
                  {of && horizon === 0 && <Advice row={of} source={source} />}
                </>
              )}
            </section>
          );
        })}
      </div>
      <Legend />
    </section>
  );
}

/** What a device has pushed in the last seconds. */
function LiveValues({ station }: { station: Overview }) {
  const windows = useLive(station.network === "devices" ? station.station_id : null);
  if (windows.length === 0) return null;
  const newest = windows.map((one) => one.window_start).sort().at(-1) ?? "";
  return (
    <section class="card live" aria-label={t("now")}>
      <h2>{t("live", { seconds: windows[0]?.seconds ?? "" })}</h2>
      <ul>
        {windows.map((one) => (
          <li key={one.sensor}>{parameterName(one.sensor)}: <strong>{number(one.mean)} {one.unit}</strong></li>
        ))}
      </ul>
      <p class="quiet">{moment(new Date(newest), zoneOf(station), { hour: "2-digit", minute: "2-digit", second: "2-digit" })}</p>
    </section>
  );
}

function Advice({ row, source }: { row: Category; source: string }) {
  const none = row.advice === "None";
  const translated = none ? null : adviceIn(current(), row.advice);
  return (
    <div class="advice">
      <h3>{t("advice")}</h3>
      <p lang={translated || none ? undefined : "en"}>{none ? t("adviceNone") : (translated ?? row.advice)}</p>
      {!none && (
        <p class="quiet small">
          {t("adviceSource", { source })}
          {translated !== null && ` (${t("adviceTranslated")})`}
        </p>
      )}
    </div>
  );
}

/** All that is shown of one parameter. */
function Series({ station, context, described }: { station: Overview; context: Context; described: Page<Station> }) {
  const { key, parameter, now } = context;
  const [days, setDays] = useState(7);
  const hour = Math.floor(now / HOUR_MS) * HOUR_MS;
  const [from, to] = [hour - days * DAY_MS, hour + 3 * HOUR_MS];
  const range = { ...key, parameter, start: toHour(from), end: toHour(to), limit: 5000 };
  const hours = useRows<Hour>("hourly-readings", range);
  return (
    <>
      <Readings {...{ station, context, hours, range, from, to, days, setDays }} />
      <Year context={context} />
      <Skill context={context} />
      <Origin context={context} newest={hours.body?.data.findLast((row) => row.value !== null)} described={described} />
    </>
  );
}

function Readings(props: {
  station: Overview;
  context: Context;
  hours: Read<Page<Hour>>;
  range: Record<string, string | number>;
  from: number;
  to: number;
  days: number;
  setDays: (days: number) => void;
}) {
  const { station, context, hours, range, from, to, days, setDays } = props;
  const { key, parameter, zone, now } = context;
  const forecasts = useRows<Forecast>("forecasts", { ...range, start: toHour(now - DAY_MS), limit: 1000 });
  const gaps = useRows<Gap>("gaps", { ...key, parameter, start: utcDay(from), end: utcDay(now + DAY_MS), limit: 5000 });
  const rows = hours.body?.data ?? [];
  const unit = rows[0]?.unit ?? "";
  const newest = newestIssue(forecasts.body?.data ?? [], now);
  const lines: Line[] = useMemo(() => [lineOf(parameterName(parameter), rows)], [hours.body, parameter]);
  const fan = useMemo(() => fanOf(newest), [forecasts.body]);
  const holes = useMemo(
    () => (hours.body ? holesOf(hours.body.data, gaps.body?.data ?? [], { from, now }) : []),
    [hours.body, gaps.body, from],
  );
  return (
    <section class="card">
      <div class="card-head">
        <h2>{t("readings")}</h2>
        <Choice
          label={t("period")}
          value={days}
          options={PERIODS.map((value) => ({ value, text: t("days", { n: value }) }))}
          onChoose={setDays}
        />
      </div>
      <p class="quiet">{t("readingsText")}</p>
      <Waiting read={hours} />
      {hours.body && (rows.length === 0 ? <p class="notice">{t("chartNone")}</p> : (
        <Chart
          label={t("chartLabel", { parameter: parameterName(parameter), station: nameOf(station) })}
          {...{ lines, fan, unit, zone, from, to }}
          gaps={holes.filter((one) => !one.rejected)}
        />
      ))}
      <Signs />
      <ForecastWords {...{ newest, context, station }} waiting={forecasts} />
      <ClockChanges {...{ context, from }} />
      {rows.length > 0 && <HoursTable rows={rows} zone={zone} />}
      {hours.body && <GapsTable holes={holes} zone={zone} />}
      <Downloads {...{ context, range }} />
    </section>
  );
}

function lineOf(name: string, rows: Hour[]): Line {
  return {
    name,
    colour: "var(--line)",
    points: rows.map((row) => ({
      at: new Date(row.hour).getTime(),
      value: row.value,
      flag: row.flag,
      note: row.reasons.map((one) => named("test_", one)).join(", "),
    })),
  };
}

/** The newest issue whose hours have not all ended. */
function newestIssue(rows: Forecast[], now: number): Forecast[] {
  const open = rows.filter((row) => new Date(row.hour).getTime() > now - HOUR_MS);
  const newest = open.reduce((best, row) => (row.issued_for > best ? row.issued_for : best), "");
  return open.filter((row) => row.issued_for === newest);
}

function fanOf(rows: Forecast[]): Fan[] {
  return rows.flatMap((row) => {
    const { value, lower_80, upper_80, lower_95, upper_95 } = row;
    if (value === null) return [];
    const at = new Date(row.hour).getTime();
    const [low80, high80] = [lower_80 ?? value, upper_80 ?? value];
    return [{ at, value, low80, high80, low95: lower_95 ?? low80, high95: upper_95 ?? high80 }];
  });
}

function causeOf(gap: Gap): string {
  const tests = (gap.tests ?? []).map((one) => named("test_", one)).join(", ");
  const cause = named("cause_", gap.cause);
  return tests ? `${cause} (${tests})` : cause;
}

const endOf = (gap: Gap): number => new Date(gap.last_hour).getTime() + HOUR_MS;

interface Hole extends Span {
  rejected: boolean;
}

/** Hours without a valid value, by cause; those of the last days may not have been examined yet. */
export function holesOf(rows: Hour[], gaps: Gap[], { from, now }: { from: number; now: number }): Hole[] {
  const valid = new Set(rows.filter((row) => row.flag === "valid").map((row) => new Date(row.hour).getTime()));
  const present = new Map(rows.filter((row) => row.value !== null).map((row) => [new Date(row.hour).getTime(), row]));
  const offset = rows[0] ? new Date(rows[0].hour).getTime() % HOUR_MS : 0;
  const found: Hole[] = [];
  for (let at = Math.ceil(from / HOUR_MS) * HOUR_MS + offset; at + HOUR_MS <= now; at += HOUR_MS) {
    if (valid.has(at)) continue;
    const gap = gaps.find((one) => at >= new Date(one.first_hour).getTime() && at < endOf(one));
    const row = present.get(at);
    const tests = (row?.reasons ?? []).map((one) => named("test_", one)).join(", ");
    const text = gap ? causeOf(gap) : row ? `${t("cause_rejected")}${tests && ` (${tests})`}` : t("causeUnknown");
    const last = found.at(-1);
    if (last?.to === at && last.text === text) last.to = at + HOUR_MS;
    else found.push({ from: at, to: at + HOUR_MS, text, rejected: row !== undefined });
  }
  return found;
}

function Signs() {
  return (
    <ul class="signs">
      <li><svg width="22" height="12" aria-hidden="true"><path d="M1 8L8 4L14 8L21 3" class="line" style={{ stroke: "var(--line)" }} /></svg>{t("legendValid")}</li>
      <li><svg width="14" height="14" aria-hidden="true"><FlagMark invalid={false} x={7} y={7} /></svg>{t("legendSuspect")}</li>
      <li><svg width="14" height="14" aria-hidden="true"><FlagMark invalid x={7} y={7} /></svg>{t("legendInvalid")}</li>
      <li><svg width="22" height="12" aria-hidden="true"><rect width="22" height="12" fill="url(#hatch)" /></svg>{t("legendGap")}</li>
      <li><svg width="22" height="12" aria-hidden="true"><rect width="22" height="12" class="fan fan-95" /><rect y="3" width="22" height="6" class="fan fan-80" /></svg>{t("legendForecast")}: {t("interval80")}, {t("interval95")}</li>
    </ul>
  );
}

function ForecastWords(props: { newest: Forecast[]; context: Context; station: Overview; waiting: Read<unknown> }) {
  const { newest, context, station } = props;
  if (!FORECAST_PARAMETERS.includes(context.parameter)) return null;
  const first = newest[0];
  const valued = newest.filter((row) => row.value !== null);
  return (
    <div class="forecast">
      <h3>{t("forecastTitle")}</h3>
      <Waiting read={props.waiting} />
      {props.waiting.body !== null && valued.length === 0 && <p class="notice notice-warn">{whyNoForecast(first, station)}</p>}
      {first && valued.length > 0 && (
        <>
          <ul>
            {valued.map((row) => (
              <li key={row.hour}>
                <strong>{t("forecastValue", { ...hourSpan(row.hour, context.zone), value: `${number(row.value ?? 0)} ${row.unit}` })}</strong>
                {row.lower_80 !== null && row.upper_80 !== null && row.lower_95 !== null && row.upper_95 !== null && (
                  <span class="quiet">
                    {" "}
                    {t("intervalOf", {
                      low80: number(row.lower_80), high80: number(row.upper_80),
                      low95: number(row.lower_95), high95: number(row.upper_95),
                    })}
                  </span>
                )}
              </li>
            ))}
          </ul>
          <p class="quiet small">
            {t("forecastMade", { time: dayAndClock(new Date(first.issued_for), context.zone), model: first.model.replaceAll("_", " ") })}
          </p>
        </>
      )}
    </div>
  );
}

function whyNoForecast(first: Forecast | undefined, station: Overview): string {
  if (first?.model === "sensor_flagged") return t("noForecastFlagged");
  if (first?.model === "no_valid_readings") return t("noForecastReadings");
  return station.no_forecast === null ? t("noForecastIssued") : whyUnknown(station, 1);
}

/** Days of 23 or 25 hours within the period, in words. */
function ClockChanges({ context, from }: { context: Context; from: number }) {
  const { key, parameter, zone, now } = context;
  const read = useRows<DayMean>("daily-averages", { ...key, parameter, start: localDay(from, zone), end: localDay(now + DAY_MS, zone), limit: 100 });
  const odd = (read.body?.data ?? []).filter((row) => row.hours_expected !== 24);
  return (
    <>
      {odd.map((row) => (
        <p key={row.date} class="notice">{t("clockChange", { date: day(row.date), n: row.hours_expected })}</p>
      ))}
    </>
  );
}

function HoursTable({ rows, zone }: { rows: Hour[]; zone: string }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>{t("showTable")}</summary>
      {open && (
        <div class="scroll" tabIndex={0} role="region" aria-label={t("readings")}>
          <table>
            <thead>
              <tr><th scope="col">{t("hour")}</th><th scope="col">{t("value")}</th><th scope="col">{t("flag")}</th></tr>
            </thead>
            <tbody>
              {rows.toReversed().map((row) => (
                <tr key={row.hour}>
                  <th scope="row">{dayAndClock(new Date(row.hour), zone)}</th>
                  <td>{row.value === null ? t("noValue") : `${number(row.value)} ${row.unit}`}</td>
                  <td>{[t(`flag_${row.flag}`), ...row.reasons.map((one) => named("test_", one))].join(", ")}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}

function GapsTable({ holes, zone }: { holes: Hole[]; zone: string }) {
  const rows = holes.toReversed();
  if (rows.length === 0) return <p class="quiet">{t("gapsNone")}</p>;
  return (
    <details>
      <summary>{t("gapsTitle")} ({rows.length})</summary>
      <div class="scroll" tabIndex={0} role="region" aria-label={t("gapsTitle")}>
        <table>
          <thead>
            <tr><th scope="col">{t("span")}</th><th scope="col">{t("hour")}</th><th scope="col">{t("cause")}</th></tr>
          </thead>
          <tbody>
            {rows.map((hole) => (
              <tr key={hole.from}>
                <th scope="row">{dayAndClock(new Date(hole.from), zone)} – {clock(new Date(hole.to), zone)}</th>
                <td>{t("hoursN", { n: (hole.to - hole.from) / HOUR_MS })}</td>
                <td>{hole.text}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function Downloads({ context, range }: { context: Context; range: Record<string, string | number> }) {
  const { key, parameter, zone, now } = context;
  const year = Number(localDay(now, zone).slice(0, 4));
  const name = `${key.network}-${key.station_id}-${parameter}`;
  const files = [
    ["downloadHours", address("hourly-readings.csv", { ...range, limit: 50_000 }), `${name}-hours.csv`],
    ["downloadDays", address("daily-averages.csv", { ...key, parameter, start: `${year}-01-01`, end: `${year + 1}-01-01`, limit: 50_000 }), `${name}-${year}.csv`],
    ["downloadForecasts", address("forecasts.csv", { ...range, limit: 50_000 }), `${name}-forecasts.csv`],
  ] as const;
  return (
    <p class="downloads">
      <span>{t("download")}:</span>
      {files.map(([text, href, file]) => <a key={text} href={href} download={file}>{t(text, { year })}</a>)}
    </p>
  );
}

function Year({ context }: { context: Context }) {
  const { key, parameter, zone, now } = context;
  const today = localDay(now, zone);
  const thisYear = Number(today.slice(0, 4));
  const [year, setYear] = useState(thisYear);
  const read = useRows<DayMean>("daily-averages", { ...key, parameter, start: `${year}-01-01`, end: `${year + 1}-01-01`, limit: 1000 });
  const means = read.body?.data ?? [];
  return (
    <section class="card">
      <div class="card-head">
        <h2>{t("calendar")}</h2>
        <label>
          <span>{t("year")}</span>
          <select value={year} onChange={(e) => setYear(Number(e.currentTarget.value))}>
            {Array.from({ length: 10 }, (_, n) => thisYear - n).map((one) => <option key={one} value={one}>{one}</option>)}
          </select>
        </label>
      </div>
      <p class="quiet">{t("calendarText", { parameter: parameterName(parameter) })}</p>
      <Waiting read={read} />
      {read.body && means.length === 0 && <p class="notice">{t("calendarNone", { parameter: parameterName(parameter), year })}</p>}
      {means.length > 0 && <Calendar key={`${year} ${parameter}`} year={year} means={means} today={today} />}
    </section>
  );
}

interface Skilled {
  horizon: number;
  n: number;
  mae: number;
  persistence: number | null;
  inside80: number | null;
  inside95: number | null;
}

/** Means over the days, each weighted by its forecasts. */
export function summedScores(rows: Score[]): Skilled[] {
  return [1, 2].flatMap((horizon) => {
    const of = rows.filter((row) => row.horizon === horizon);
    const mean = (pick: (row: Score) => number | null): number | null => {
      const known = of.filter((row) => pick(row) !== null);
      const n = known.reduce((sum, row) => sum + row.n, 0);
      return n === 0 ? null : known.reduce((sum, row) => sum + (pick(row) ?? 0) * row.n, 0) / n;
    };
    const mae = mean((row) => row.mae);
    if (mae === null) return [];
    const n = of.reduce((sum, row) => sum + row.n, 0);
    const persistence = mean((row) => row.mae_persistence);
    return [{ horizon, n, mae, persistence, inside80: mean((r) => r.coverage_80), inside95: mean((r) => r.coverage_95) }];
  });
}

function Skill({ context }: { context: Context }) {
  const { key, parameter, now } = context;
  const asked = { ...key, parameter, start: utcDay(now - SCORED_DAYS * DAY_MS), end: utcDay(now + DAY_MS), limit: 5000 };
  const read = useRows<Score & { unit: string }>("scores", asked);
  if (!FORECAST_PARAMETERS.includes(parameter)) return null;
  const rows = summedScores(read.body?.data ?? []);
  const share = (value: number | null) => (value === null ? "–" : percent(value));
  return (
    <section class="card">
      <h2>{t("skill")}</h2>
      <p class="quiet">{t("skillText")}</p>
      <Waiting read={read} />
      {read.body && rows.length === 0 && <p class="notice">{t("skillNone", { parameter: parameterName(parameter) })}</p>}
      {rows.length > 0 && (
        <>
          <div class="scroll" tabIndex={0} role="region" aria-label={t("skill")}>
            <table>
              <thead>
                <tr>
                  {(["horizon", "count", "error", "errorPersistence", "skillScore", "inside80", "inside95"] as const).map((one) => (
                    <th key={one} scope="col">{t(one)}</th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {rows.map((row) => (
                  <tr key={row.horizon}>
                    <th scope="row">{t("horizonN", { n: row.horizon })}</th>
                    <td>{number(row.n, 0)}</td>
                    <td>{number(row.mae)}</td>
                    <td>{row.persistence === null ? "–" : number(row.persistence)}</td>
                    <td>{row.persistence ? number(1 - row.mae / row.persistence, 2) : "–"}</td>
                    <td>{share(row.inside80)}</td>
                    <td>{share(row.inside95)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <p class="quiet small">{t("skillHelp")}</p>
        </>
      )}
    </section>
  );
}

function Origin({ context, newest, described }: { context: Context; newest: Hour | undefined; described: Page<Station> }) {
  const { key, parameter, zone } = context;
  const credited = described.data[0]?.attribution ?? described.attribution[0]?.attribution;
  return (
    <section class="card">
      <h2>{t("origin")}</h2>
      {newest && (
        <>
          <p>{t("originText", { parameter: parameterName(parameter), time: dayAndClock(new Date(newest.hour), zone) })}</p>
          <ul>
            {newest.value_native !== null && (
              <li>{t("originNative", { network: key.network, value: number(newest.value_native), unit: newest.unit_native ?? "" })}</li>
            )}
            {newest.sensor_id && <li>{t("originSensor", { sensor: newest.sensor_id })}</li>}
            <li>
              {t("originPulled", { time: moment(new Date(newest.pulled_at), zone, { dateStyle: "medium", timeStyle: "short" }) })}{" "}
              {newest.revision > 0 ? t("originRevision", { n: newest.revision }) : t("originUnchanged")}
            </li>
            {newest.status && <li>{t("originStatus", { status: named("status_", newest.status) })}</li>}
          </ul>
          <Explain {...{ context, newest }} />
        </>
      )}
      {credited && <p><strong>{t("credit")}:</strong> {credited}</p>}
    </section>
  );
}

interface Explanation {
  value: number | null;
  unit: string;
  value_native: number | null;
  unit_native: string | null;
  conversion: { scale: number; offset: number; reference_celsius: number | null } | null;
  tests: { test: string; flag: string; observed: number | null; limit: number | null }[];
  raw_pulls: { key: string; line: number; sha256: string; received: string }[];
}

/** Every step of the number, where the server tells them; and how to ask for them there. */
function Explain({ context, newest }: { context: Context; newest: Hour }) {
  const { key, parameter } = context;
  const [asked, ask] = useState(false);
  const path = [key.network, key.station_id, parameter, newest.hour].map(encodeURIComponent).join("/");
  const read = useRead<Explanation>(asked ? `/v1/explain/${path}` : null);
  const command = `aq explain ${key.network} ${key.station_id} ${parameter} ${newest.hour.slice(0, 16)}Z`;
  return (
    <details onToggle={(e) => e.currentTarget.open && ask(true)}>
      <summary>{t("originSteps")}</summary>
      {read.body && <Steps {...read.body} zone={context.zone} />}
      <p>{t("originCommand")} <code>{command}</code></p>
    </details>
  );
}

function Steps(explained: Explanation & { zone: string }) {
  const { conversion, tests, raw_pulls, zone } = explained;
  return (
    <ol class="steps">
      {raw_pulls.map((pull) => (
        <li key={pull.sha256}>
          {t("stepPull", { time: dayAndClock(new Date(pull.received), zone), line: pull.line })} <code>{pull.key}</code>
          <br />
          SHA-256 <code>{pull.sha256}</code>
        </li>
      ))}
      {explained.value_native !== null && explained.value !== null && conversion && (
        <li>
          {t("stepConversion")} {number(explained.value_native, 6)} {explained.unit_native} × {number(conversion.scale, 6)}
          {conversion.offset !== 0 && ` + ${number(conversion.offset, 6)}`} = {number(explained.value, 6)} {explained.unit}
          {conversion.reference_celsius !== null && ` (${number(conversion.reference_celsius, 1)} °C, 101.325 kPa)`}
        </li>
      )}
      <li>
        {tests.length === 0 ? t("stepNoTest") : t("stepTests")}
        {tests.length > 0 && (
          <ul>
            {tests.map((one) => (
              <li key={one.test}>
                {named("test_", one.test)}: {named("flag_", one.flag)}
                {one.observed !== null && one.limit !== null && ` (${number(one.observed, 3)} / ${number(one.limit, 3)})`}
              </li>
            ))}
          </ul>
        )}
      </li>
    </ol>
  );
}
