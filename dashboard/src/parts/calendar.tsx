/** The days of a year, month by month, coloured by the index. */
import { useRef, useState } from "preact/hooks";
import type { DayMean } from "../api";
import { day, moment, number, t } from "../i18n";
import type { Key } from "../i18n/en";
import { colourOf, inkOf } from "./common";

const CATEGORIES = [
  "Good",
  "Moderate",
  "Unhealthy for Sensitive Groups",
  "Unhealthy",
  "Very Unhealthy",
  "Hazardous",
];
export const rankOfCategory = (name: string | null): number | null => {
  const place = name === null ? -1 : CATEGORIES.findIndex((one) => one.toLowerCase() === name.toLowerCase());
  return place < 0 ? null : place + 1;
};

const DAY_MS = 86_400_000;
const iso = (at: number): string => new Date(at).toISOString().slice(0, 10);
const monday = (date: string): number => (new Date(`${date}T00:00:00Z`).getUTCDay() + 6) % 7;

/** What is known of a day, in words. */
export function wordsOf(date: string, mean: DayMean | undefined): string {
  const parts: string[] = [];
  if (!mean) parts.push(t("dayNoData"));
  else if (mean.mean === null) parts.push(t("dayNone", { reason: t(`reason_${mean.reason}` as Key) }));
  else {
    const value = `${number(mean.mean)} ${mean.unit}`;
    const counts = { valid: mean.hours_valid, expected: mean.hours_expected };
    const rank = rankOfCategory(mean.aqi_category);
    if (mean.valid) parts.push(t("dayValue", { value, ...counts }));
    else parts.push(value, t("dayFew", counts));
    if (mean.valid && rank !== null) parts.push(t(`category${rank}` as Key));
  }
  if (mean && mean.hours_expected !== 24) parts.push(t("dayLength", { n: mean.hours_expected }));
  return `${day(date)}: ${parts.join(", ")}`;
}

export function Calendar({ year, means, today }: { year: number; means: DayMean[]; today: string }) {
  const byDate = new Map(means.map((one) => [one.date, one]));
  const first = Date.UTC(year, 0, 1);
  const days = Array.from({ length: Math.round((Date.UTC(year + 1, 0, 1) - first) / DAY_MS) }, (_, n) => iso(first + n * DAY_MS));
  const [chosen, choose] = useState<string>(means.at(-1)?.date ?? days[0] ?? "");
  const root = useRef<HTMLDivElement>(null);
  const onKeyDown = (event: KeyboardEvent) => {
    const moves: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const next = days[Math.max(0, Math.min(days.length - 1, days.indexOf(chosen) + move))];
    if (!next) return;
    choose(next);
    root.current?.querySelector<HTMLElement>(`[data-date="${next}"]`)?.focus();
  };
  return (
    <div class="calendar" ref={root} role="group" aria-label={t("calendarLabel", { year })} onKeyDown={onKeyDown}>
      <div class="months">
        {Array.from({ length: 12 }, (_, month) => {
          const ofMonth = days.filter((date) => Number(date.slice(5, 7)) === month + 1);
          const name = moment(new Date(Date.UTC(year, month, 1)), "UTC", { month: "long" });
          return (
            <section key={month} class="month" aria-label={name}>
              <h4>{name}</h4>
              <div class="days">
                {ofMonth.map((date, n) => (
                  <Day
                    key={date}
                    date={date}
                    column={n === 0 ? monday(date) + 1 : undefined}
                    mean={byDate.get(date)}
                    chosen={date === chosen}
                    future={date > today}
                    onChoose={choose}
                  />
                ))}
              </div>
            </section>
          );
        })}
      </div>
      <p class="readout" role="status">{chosen && wordsOf(chosen, byDate.get(chosen))}</p>
    </div>
  );
}

function Day(props: {
  date: string;
  column: number | undefined;
  mean: DayMean | undefined;
  chosen: boolean;
  future: boolean;
  onChoose: (date: string) => void;
}) {
  const { date, mean, chosen } = props;
  const rank = mean?.valid ? rankOfCategory(mean.aqi_category) : null;
  const kind = rank !== null ? "day" : mean?.mean != null ? (mean.valid ? "day day-plain" : "day day-few") : "day day-none";
  const words = wordsOf(date, mean);
  return (
    <button
      type="button"
      class={props.future && !mean ? `${kind} day-future` : kind}
      data-date={date}
      tabIndex={chosen ? 0 : -1}
      aria-pressed={chosen}
      aria-label={words}
      title={words}
      style={{
        gridColumnStart: props.column ? String(props.column) : "",
        background: rank === null ? "" : colourOf(rank),
        color: rank === null ? "" : inkOf(rank),
      }}
      onClick={() => props.onChoose(date)}
    >
      {Number(date.slice(8))}
    </button>
  );
}
