/** How the networks are. */
import { type NetworkDay, type NetworkHealth, useRows } from "../api";
import { ago, day, dayAndClock, number, percent, t } from "../i18n";
import { HOUR_MS, Outdated, useTitle, Waiting } from "../parts/common";

const DAYS = 30;
const DAY_MS = 24 * HOUR_MS;
const PULL_FAILED_HOURS = 1;
const SILENT_SHARE = 0.5;
const REJECTED_SHARE = 0.25;

export function NetworksPage() {
  useTitle(t("networksTitle"));
  const networks = useRows<NetworkHealth>("networks", {});
  const now = networks.body?.now ? new Date(networks.body.now).getTime() : null;
  const utcDay = (at: number) => new Date(at).toISOString().slice(0, 10);
  const range = now === null ? null : { start: utcDay(now - DAYS * DAY_MS), end: utcDay(now) };
  const days = useRows<NetworkDay>("network-days", range);
  const rows = networks.body?.data ?? [];
  return (
    <article class="page">
      <h1>{t("networksTitle")}</h1>
      <p class="quiet">{t("networksText")}</p>
      <Outdated read={networks} />
      <Waiting read={networks} />
      {networks.body && rows.length === 0 && <p>{t("noNetworks")}</p>}
      {now !== null && rows.map((one) => (
        <Network key={one.network} health={one} now={now} days={(days.body?.data ?? []).filter((d) => d.network === one.network)} />
      ))}
    </article>
  );
}

function Network({ health, now, days }: { health: NetworkHealth; now: number; days: NetworkDay[] }) {
  const { network, state, newest_hour } = health;
  const age = newest_hour === null ? null : Math.max(0, now - new Date(newest_hour).getTime() - HOUR_MS);
  const sum = (pick: (row: NetworkDay) => number) => days.reduce((total, row) => total + pick(row), 0);
  const expected = sum((row) => row.hours_expected);
  const valid = sum((row) => row.hours_valid);
  return (
    <section class="card network" aria-label={network}>
      <div class="card-head">
        <h2>{network}</h2>
        <span class={`state state-${state}`}>{t(`state_${state}`)}</span>
      </div>
      <dl class="facts">
        <div>
          <dt>{t("newest")}</dt>
          <dd>
            {newest_hour === null ? t("noneForDays") : `${dayAndClock(new Date(newest_hour), "UTC")} UTC`}
            {age !== null && <span class="quiet"> ({ago(age)})</span>}
          </dd>
        </div>
        <div>
          <dt>{t("sending")}</dt>
          <dd>
            {t("sendingOf", { n: health.stations_reporting, all: health.stations })}
            <span class="quiet"> {t("sendingValid", { n: health.stations_valid })}</span>
          </dd>
        </div>
        <div>
          <dt>{t("revisions")}</dt>
          <dd>{days.some((row) => row.hours_revised !== null) ? number(sum((row) => row.hours_revised ?? 0), 0) : t("unknown")}</dd>
        </div>
      </dl>
      <h3>{t("coverage")}</h3>
      <p class="quiet">{t("coverageText")}</p>
      {days.length === 0 ? <p>{t("daysNone")}</p> : (
        <Bars days={days} until={now} label={t("coverageLabel", { network, percent: percent(expected === 0 ? 0 : valid / expected) })} />
      )}
      <h3>{t("incidents")}</h3>
      <Incidents days={days} />
    </section>
  );
}

function Bars({ days, until, label }: { days: NetworkDay[]; until: number; label: string }) {
  const first = Math.floor(until / DAY_MS) - DAYS;
  const height = 70;
  const wide = 100 / DAYS;
  return (
    <>
      <svg class="bars" role="img" aria-label={label} viewBox={`0 0 100 ${height}`} preserveAspectRatio="none">
        {days.map((row) => {
          const share = (hours: number) => (row.hours_expected === 0 ? 0 : (hours / row.hours_expected) * height);
          const valid = share(row.hours_valid);
          const flagged = share(row.hours_flagged);
          const x = (new Date(row.date).getTime() / DAY_MS - first) * wide;
          return (
            <g key={row.date}>
              <title>{`${day(row.date)}: ${percent(row.hours_valid / (row.hours_expected || 1))} ${t("share_valid")}`}</title>
              <rect x={x} width={wide * 0.86} y={0} height={height} class="bar-missing" />
              <rect x={x} width={wide * 0.86} y={height - valid - flagged} height={flagged} class="bar-flagged" />
              <rect x={x} width={wide * 0.86} y={height - valid} height={valid} class="bar-valid" />
            </g>
          );
        })}
      </svg>
      <ul class="signs">
        {(["valid", "flagged", "missing"] as const).map((one) => (
          <li key={one}><span class={`swatch bar-${one}`} aria-hidden="true" />{t(`share_${one}`)}</li>
        ))}
        <li class="quiet">{day(days[0]?.date ?? "")} – {day(days.at(-1)?.date ?? "")}</li>
      </ul>
    </>
  );
}

/** What went wrong on a day, in words. */
export function incidentsOf(row: NetworkDay): string[] {
  const found: string[] = [];
  if (row.gap_pull_failed >= PULL_FAILED_HOURS) found.push(t("incidentPull", { hours: number(row.gap_pull_failed, 0) }));
  if (row.stations_silent > 0 && row.stations_silent >= SILENT_SHARE * row.stations) {
    found.push(t("incidentSilent", { n: row.stations_silent, all: row.stations }));
  }
  const rejected = row.hours_flagged;
  const share = rejected / (row.hours_expected || 1);
  if (share >= REJECTED_SHARE) found.push(t("incidentRejected", { hours: number(rejected, 0), percent: percent(share) }));
  return found;
}

function Incidents({ days }: { days: NetworkDay[] }) {
  const found: { from: string; to: string; text: string }[] = [];
  for (const row of days) {
    for (const text of incidentsOf(row)) {
      // What goes on for days is one incident.
      const before = found.findLast((one) => one.text === text);
      if (before && new Date(row.date).getTime() - new Date(before.to).getTime() === DAY_MS) before.to = row.date;
      else found.push({ from: row.date, to: row.date, text });
    }
  }
  if (found.length === 0) return <p>{t("incidentsNone")}</p>;
  return (
    <ul class="incidents">
      {found.toReversed().map(({ from, to, text }) => (
        <li key={from + text}><strong>{from === to ? day(from) : `${day(from)} – ${day(to)}`}</strong>: {text}</li>
      ))}
    </ul>
  );
}
