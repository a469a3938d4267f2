/** Lines over time with flags, gaps and the fan of a forecast; a pointer or arrow keys read it. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { clock, dayAndClock, moment, number, t } from "../i18n";
import { HOUR_MS } from "./common";

export interface Point {
  /** Start of the hour. */
  at: number;
  value: number | null;
  flag?: "valid" | "suspect" | "invalid" | "missing";
  note?: string;
}
export interface Line {
  name: string;
  points: Point[];
  colour: string;
  dash?: string;
}
export interface Fan {
  at: number;
  value: number;
  low80: number;
  high80: number;
  low95: number;
  high95: number;
}
export interface Span {
  from: number;
  to: number;
  text: string;
}
interface Props {
  label: string;
  lines: Line[];
  fan?: Fan[];
  gaps?: Span[];
  unit: string;
  zone: string;
  from: number;
  to: number;
}

const HEIGHT = 300;
const MARGIN = { left: 46, right: 14, top: 24, bottom: 30 };
const HALF = HOUR_MS / 2;

/** Round values from zero, or from below it, to above the highest. */
export function ticksOf(least: number, most: number): number[] {
  const span = Math.max(most - Math.min(0, least), 1e-9);
  const rough = span / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((one) => one * power >= rough) ?? 10) * power;
  const first = Math.floor(Math.min(0, least) / step);
  const last = Math.max(Math.ceil(most / step), first + 1);
  return Array.from({ length: last - first + 1 }, (_, n) => (first + n) * step);
}

interface TimeTick {
  at: number;
  text: string;
  strong: boolean;
}

/** Hours of the zone's own clock at which the axis has a mark. */
export function timeTicks(from: number, to: number, zone: string, width: number): TimeTick[] {
  const days = (to - from) / (24 * HOUR_MS);
  const every = days <= 2.5 ? (width < 500 ? 12 : 6) : 24;
  const found: TimeTick[] = [];
  // Zones of half and quarter hours have their full hours between those of UTC.
  for (let at = Math.ceil(from / (HOUR_MS / 4)) * (HOUR_MS / 4); at <= to; at += HOUR_MS / 4) {
    const [hour, minute] = clock(new Date(at), zone).split(/\D/).map(Number);
    if (minute !== 0 || hour === undefined || hour % every !== 0) continue;
    const midnight = hour === 0;
    const text = midnight ? moment(new Date(at), zone, { day: "numeric", month: "short" }) : clock(new Date(at), zone);
    found.push({ at, text, strong: midnight });
  }
  const room = Math.max(1, Math.ceil((found.length * 58) / width));
  return found.map((tick, n) => (n % room === 0 ? tick : { ...tick, text: "" }));
}

function useWidth(): [preact.RefObject<HTMLDivElement | null>, number] {
  const ref = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(720);
  useEffect(() => {
    if (!ref.current) return;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.max(260, entry.contentRect.width)));
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

export function Chart(props: Props) {
  const { lines, fan = [], gaps = [], zone, from, to } = props;
  const [ref, width] = useWidth();
  const [cursor, setCursor] = useState<number | null>(null);
  const values = [
    ...lines.flatMap((line) => line.points.flatMap((p) => (p.value === null ? [] : [p.value]))),
    ...fan.flatMap((one) => [one.low95, one.high95]),
  ];
  const ticks = ticksOf(values.reduce((a, b) => Math.min(a, b), 0), values.reduce((a, b) => Math.max(a, b), 0) || 1);
  const [bottom, top] = [ticks[0] ?? 0, ticks.at(-1) ?? 1];
  const x = (at: number) => MARGIN.left + ((at - from) / (to - from)) * (width - MARGIN.left - MARGIN.right);
  const y = (value: number) => HEIGHT - MARGIN.bottom - ((value - bottom) / (top - bottom)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const times = useMemo(() => timeTicks(from, to, zone, width), [from, to, zone, width]);
  const stops = useMemo(() => {
    const found = new Set([...lines.flatMap((line) => line.points.map((p) => p.at)), ...fan.map((one) => one.at)]);
    return [...found].filter((at) => at >= from && at < to).sort((a, b) => a - b);
  }, [lines, fan, from, to]);
  const said = cursor === null ? "" : readout(props, cursor);

  const onKeyDown = (event: KeyboardEvent) => {
    const place = cursor === null ? stops.length - 1 : stops.indexOf(cursor);
    const moves: Record<string, number> = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: stops.length - 1 };
    const next = moves[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const at = stops[Math.max(0, Math.min(stops.length - 1, next))];
    if (at !== undefined) setCursor(at);
  };
  const onPointerMove = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const at = from + ((event.clientX - box.left - MARGIN.left) / (width - MARGIN.left - MARGIN.right)) * (to - from) - HALF;
    const nearest = stops.reduce<number | null>(
      (best, one) => (best === null || Math.abs(one - at) < Math.abs(best - at) ? one : best),
      null,
    );
    setCursor(nearest);
  };

  return (
    <div class="chart" ref={ref}>
      <div
        class="plot"
        role="slider"
        tabIndex={0}
        aria-label={props.label}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, stops.length - 1)}
        aria-valuenow={cursor === null ? Math.max(0, stops.length - 1) : stops.indexOf(cursor)}
        aria-valuetext={said || props.label}
        onKeyDown={onKeyDown}
        onPointerMove={onPointerMove}
        onPointerLeave={() => setCursor(null)}
        onFocus={() => setCursor((now) => now ?? stops.at(-1) ?? null)}
      >
        <svg width={width} height={HEIGHT} viewBox={`0 0 ${width} ${HEIGHT}`} aria-hidden="true">
          <defs>
            <pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
              <line x1="0" y1="0" x2="0" y2="6" class="hatch" />
            </pattern>
          </defs>
          {ticks.map((value) => (
            <g key={value}>
              <line x1={MARGIN.left} x2={width - MARGIN.right} y1={y(value)} y2={y(value)} class="grid" />
              <text x={MARGIN.left - 6} y={y(value)} class="tick tick-y">{number(value, 3)}</text>
            </g>
          ))}
          <text x={4} y={11} class="tick">{props.unit}</text>
          {times.map((tick) => (
            <g key={tick.at}>
              <line x1={x(tick.at)} x2={x(tick.at)} y1={MARGIN.top} y2={HEIGHT - MARGIN.bottom + 4} class={tick.strong ? "grid grid-day" : "grid"} />
              <text x={x(tick.at)} y={HEIGHT - 12} class="tick tick-x">{tick.text}</text>
            </g>
          ))}
          {gaps.map((gap) => (
            <rect
              key={gap.from}
              x={x(Math.max(gap.from, from))}
              width={Math.max(2, x(Math.min(gap.to, to)) - x(Math.max(gap.from, from)))}
              y={HEIGHT - MARGIN.bottom - 12}
              height={12}
              fill="url(#hatch)"
            />
          ))}
          {fan.length > 0 && <Forecast {...props} x={x} y={y} />}
          {lines.map((line) => <OneLine key={line.name} line={line} x={x} y={y} />)}
          {cursor !== null && (
            <line x1={x(cursor + HALF)} x2={x(cursor + HALF)} y1={MARGIN.top} y2={HEIGHT - MARGIN.bottom} class="cursor" />
          )}
        </svg>
      </div>
      <p class="readout" aria-hidden="true">{said || "\u00a0"}</p>
    </div>
  );
}

type Scale = (value: number) => number;

function OneLine({ line, x, y }: { line: Line; x: Scale; y: Scale }) {
  const valid = line.points.filter((p) => p.value !== null && (p.flag ?? "valid") === "valid");
  let path = "";
  let last = Number.NEGATIVE_INFINITY;
  for (const p of valid) {
    // No line leads over hours that are not there.
    path += `${p.at - last > HOUR_MS ? "M" : "L"}${x(p.at + HALF).toFixed(1)} ${y(p.value ?? 0).toFixed(1)}`;
    last = p.at;
  }
  const alone = valid.filter((p, n) => p.at - (valid[n - 1]?.at ?? 0) > HOUR_MS && (valid[n + 1]?.at ?? Infinity) - p.at > HOUR_MS);
  const marked = line.points.filter((p) => p.value !== null && (p.flag === "suspect" || p.flag === "invalid"));
  return (
    <g>
      <path d={path} class="line" style={{ stroke: line.colour }} stroke-dasharray={line.dash} />
      {alone.map((p) => <circle key={p.at} cx={x(p.at + HALF)} cy={y(p.value ?? 0)} r={2} style={{ fill: line.colour }} />)}
      {marked.map((p) => <FlagMark key={p.at} invalid={p.flag === "invalid"} x={x(p.at + HALF)} y={y(p.value ?? 0)} />)}
    </g>
  );
}

export function FlagMark({ invalid, x, y }: { invalid: boolean; x: number; y: number }) {
  return invalid ? (
    <path d={`M${x - 4} ${y - 4}l8 8m0 -8l-8 8`} class="mark-invalid" />
  ) : (
    <path d={`M${x} ${y - 5}l5 5l-5 5l-5 -5z`} class="mark-suspect" />
  );
}

function Forecast({ lines, fan = [], x, y }: Props & { x: Scale; y: Scale }) {
  const first = fan[0];
  if (!first) return null;
  const before = lines[0]?.points.findLast((p) => p.value !== null && p.flag === "valid" && p.at < first.at);
  // The fan opens from the last reading, where that is the hour before.
  const start: Fan[] =
    before && first.at - before.at <= 2 * HOUR_MS
      ? [{ at: before.at, value: before.value ?? 0, low80: before.value ?? 0, high80: before.value ?? 0, low95: before.value ?? 0, high95: before.value ?? 0 }]
      : [];
  const all = [...start, ...fan];
  const area = (low: (f: Fan) => number, high: (f: Fan) => number) =>
    `M${[...all.map((f) => [f.at, high(f)] as const), ...all.toReversed().map((f) => [f.at, low(f)] as const)]
      .map(([at, value]) => `${x(at + HALF).toFixed(1)} ${y(value).toFixed(1)}`)
      .join("L")}Z`;
  return (
    <g>
      <path d={area((f) => f.low95, (f) => f.high95)} class="fan fan-95" />
      <path d={area((f) => f.low80, (f) => f.high80)} class="fan fan-80" />
      <path d={`M${all.map((f) => `${x(f.at + HALF).toFixed(1)} ${y(f.value).toFixed(1)}`).join("L")}`} class="line line-forecast" />
      {fan.map((f) => <circle key={f.at} cx={x(f.at + HALF)} cy={y(f.value)} r={3.5} class="dot-forecast" />)}
    </g>
  );
}

/** What is known of an hour, in words. */
function readout({ lines, fan = [], gaps = [], unit, zone }: Props, at: number): string {
  const when = `${dayAndClock(new Date(at), zone)}–${clock(new Date(at + HOUR_MS), zone)}`;
  const found = lines.flatMap((line) => {
    const point = line.points.find((p) => p.at === at);
    if (!point) return [];
    const value = point.value === null ? t("noValue") : `${number(point.value)} ${unit}`;
    const flag = point.flag && point.flag !== "valid" ? ` (${t(`flag_${point.flag}`)}${point.note ? `: ${point.note}` : ""})` : "";
    return [lines.length > 1 ? `${line.name} ${value}${flag}` : `${value}${flag}`];
  });
  const forecast = fan.find((f) => f.at === at);
  if (forecast) {
    const { low80, high80, low95, high95 } = forecast;
    const [a, b, c, d] = [low80, high80, low95, high95].map((value) => number(value));
    const interval = t("intervalOf", { low80: a ?? "", high80: b ?? "", low95: c ?? "", high95: d ?? "" });
    found.push(`${t("legendForecast")} ${number(forecast.value)} ${unit} (${interval})`);
  }
  const gap = gaps.find((one) => at >= one.from && at < one.to);
  if (gap) found.push(gap.text);
  return `${when}: ${found.join(" · ") || t("noValue")}`;
}
