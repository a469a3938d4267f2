/** Small things that every page uses. */
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import type { Horizon, Overview, Read } from "../api";
import { clock, dayAndClock, named, t } from "../i18n";
import type { Key } from "../i18n/en";
import palette from "../palette.json";

export const HORIZONS: Horizon[] = [0, 1, 2];
export const HORIZON_NAMES: Record<Horizon, Key> = { 0: "now", 1: "in1h", 2: "in2h" };
export const HOUR_MS = 3_600_000;
export const RANKS = [1, 2, 3, 4, 5, 6] as const;

export const colourOf = (rank: number): string => palette.ranks[rank - 1] ?? "#888888";
export const inkOf = (rank: number): string => palette.ink[rank - 1] ?? "#000000";
export const categoryName = (rank: number): string => t(`category${rank}` as Key);
export const parameterName = (name: string): string => named("", name);
export const nameOf = (s: { name: string | null; station_id: string }): string => s.name ?? s.station_id;
export const zoneOf = (s: { timezone: string | null } | null | undefined): string => s?.timezone ?? "UTC";

/** `14:00–15:00` of the hour that begins at an instant. */
export function hourSpan(hour: string, zone: string): { from: string; to: string } {
  const start = new Date(hour);
  return { from: clock(start, zone), to: clock(new Date(start.getTime() + HOUR_MS), zone) };
}

/** Why a station has no category at a horizon, in words. */
export function whyUnknown(station: Overview, horizon: Horizon): string {
  if (horizon === 0) return whyNotNow(station);
  switch (station.no_forecast) {
    case "no_valid_readings":
      return t("noForecastReadings");
    case "sensor_flagged":
      return t("noForecastFlagged");
    case "not_issued":
      return t("noForecastIssued");
    default:
      return t("noForecastHour");
  }
}

function whyNotNow(station: Overview): string {
  const zone = zoneOf(station);
  if (station.state === "current") return t("noIndex");
  if (station.state === "flagged") {
    const tests = (station.tests ?? []).map((one) => named("test_", one)).join(", ");
    return tests ? t("flagged", { tests }) : t("flaggedPlain");
  }
  if (station.newest_hour === null) return t("silentLong");
  return t("silent", { time: dayAndClock(new Date(station.newest_hour), zone) });
}

/** A category's badge: its digit, so that no one needs to see the colour. */
export function Badge({ rank, large }: { rank: number | null; large?: boolean }) {
  const size = large ? "badge badge-large" : "badge";
  if (rank === null) return <span class={`${size} badge-none`} aria-hidden="true">–</span>;
  return (
    <span class={size} style={{ background: colourOf(rank), color: inkOf(rank) }} aria-hidden="true">
      {rank}
    </span>
  );
}

export function navigate(to: string): void {
  history.pushState(null, "", to);
  dispatchEvent(new PopStateEvent("popstate"));
}

/** A link within the pages, followed without loading them again. */
export function Link(props: { href: string; class?: string; children: ComponentChildren; current?: boolean }) {
  const follow = (event: MouseEvent) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    navigate(props.href);
    window.scrollTo(0, 0);
  };
  return (
    <a href={props.href} class={props.class} onClick={follow} aria-current={props.current ? "page" : undefined}>
      {props.children}
    </a>
  );
}

export const stationAddress = (s: { network: string; station_id: string }): string =>
  `/station?${new URLSearchParams({ network: s.network, station_id: s.station_id })}`;

/** Sets the document's title while a page is shown. */
export function useTitle(text: string): void {
  useEffect(() => {
    document.title = `${text} · ${t("title")}`;
  }, [text]);
}

/** A set of choices of which one holds. */
export function Choice<Value extends string | number>(props: {
  label: string;
  value: Value;
  options: { value: Value; text: string }[];
  onChoose: (value: Value) => void;
}) {
  const name = props.label.replaceAll(" ", "-");
  return (
    <fieldset class="choice">
      <legend>{props.label}</legend>
      {props.options.map((option) => (
        <label key={option.value}>
          <input
            type="radio"
            name={name}
            checked={option.value === props.value}
            onChange={() => props.onChoose(option.value)}
          />
          <span>{option.text}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** What stands where rows are awaited or could not be read; nothing once they are there. */
export function Waiting({ read }: { read: Read<unknown> }) {
  if (read.error) {
    return (
      <p class="notice notice-bad" role="alert">
        {t("failed", { reason: read.error.message })}{" "}
        <button type="button" class="plain" onClick={read.again}>
          {t("retry")}
        </button>
      </p>
    );
  }
  return read.body === null ? <p class="waiting" role="status">{t("loading")}</p> : null;
}

const OLD_MS = 10 * 60_000;

/** Says that an answer is no longer of now, where the server stopped answering. */
export function Outdated({ read }: { read: Read<unknown> }) {
  if (!read.error || read.readAt === null || Date.now() - read.readAt < OLD_MS) return null;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return <p class="notice notice-bad" role="alert">{t("outdated", { time: dayAndClock(new Date(read.readAt), zone) })}</p>;
}

export function Legend() {
  return (
    <ul class="legend" aria-label={t("legend")}>
      {RANKS.map((rank) => (
        <li key={rank}>
          <Badge rank={rank} /> {categoryName(rank)}
        </li>
      ))}
      <li>
        <Badge rank={null} /> {t("unknown")}
      </li>
    </ul>
  );
}
