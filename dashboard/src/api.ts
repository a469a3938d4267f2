/** The API's rows, and how a page reads and refreshes them. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { t } from "./i18n";
import { isLive, onNews } from "./live";

export type Horizon = 0 | 1 | 2;
type At<Name extends string, Value> = { [H in Horizon as `${Name}_${H}`]: Value | null };

export type Overview = {
  network: string;
  station_id: string;
  name: string | null;
  latitude: number | null;
  longitude: number | null;
  country: string | null;
  city: string | null;
  timezone: string | null;
  state: "current" | "flagged" | "silent";
  newest_hour: string | null;
  newest_valid_hour: string | null;
  tests: string[] | null;
  no_forecast: "no_valid_readings" | "sensor_flagged" | "not_issued" | null;
} & At<"hour", string> &
  At<"rank", number> &
  At<"category", string> &
  At<"parameter", string>;

export interface Station {
  network: string;
  station_id: string;
  name: string | null;
  city: string | null;
  timezone: string | null;
  parameters: string[] | null;
  attribution: string | null;
}

export interface Category {
  horizon: Horizon;
  parameter: string;
  hour: string;
  value: number;
  unit: string;
  aqi: number | null;
  category: string;
  rank: number;
  advice: string;
}

export interface Hour {
  station_id: string;
  parameter: string;
  hour: string;
  value: number | null;
  unit: string;
  value_native: number | null;
  unit_native: string | null;
  flag: "valid" | "suspect" | "invalid" | "missing";
  reasons: string[];
  status: string | null;
  sensor_id: string | null;
  pulled_at: string;
  revision: number;
}

export interface Forecast {
  parameter: string;
  issued_for: string;
  horizon: 1 | 2;
  hour: string;
  value: number | null;
  lower_80: number | null;
  upper_80: number | null;
  lower_95: number | null;
  upper_95: number | null;
  unit: string;
  model: string;
}

export interface Gap {
  first_hour: string;
  last_hour: string;
  hours: number;
  cause: string;
  tests: string[] | null;
}

export interface DayMean {
  station_id: string;
  network: string;
  parameter: string;
  date: string;
  mean: number | null;
  hours_valid: number;
  hours_expected: number;
  valid: boolean;
  aqi_category: string | null;
  unit: string;
  reason: string | null;
}

export interface Score {
  horizon: 1 | 2;
  n: number;
  mae: number;
  mae_persistence: number | null;
  coverage_80: number | null;
  coverage_95: number | null;
}

export interface NetworkHealth {
  network: string;
  state: "current" | "silent" | "empty";
  newest_hour: string | null;
  newest_pulled_at: string | null;
  silent_after_hours: number;
  stations: number;
  stations_reporting: number;
  stations_valid: number;
}

export interface NetworkDay {
  network: string;
  date: string;
  stations: number;
  stations_silent: number;
  hours_expected: number;
  hours_valid: number;
  hours_flagged: number;
  hours_missing: number;
  hours_revised: number | null;
  gap_pull_failed: number;
}

export interface Credit {
  network: string;
  attribution: string;
  licence: string | null;
}

export interface IndexCategory {
  index_name: string;
  parameter: string;
  category: string;
  rank: number;
  lower: number;
  upper: number | null;
  unit: string;
  advice: string;
  source: string;
}

export interface Page<Row> {
  data: Row[];
  next: string | null;
  now?: string;
  attribution: Credit[];
}

export type Query = Record<string, string | number | readonly string[]>;

export function address(resource: string, query: Query = {}): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) for (const one of value) found.append(name, one);
    else found.append(name, String(value));
  }
  const asked = found.toString();
  return `/v1/${resource}${asked ? `?${asked}` : ""}`;
}

export class Refusal extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

// The server reads so many things at once for everyone; a page leaves room for others.
const AT_ONCE = 3;
const BUSY = 503;
const TRIES = 4;
const PAUSE_S = 2;
const waiting: (() => void)[] = [];
let running = 0;

async function inTurn<Value>(act: () => Promise<Value>): Promise<Value> {
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  running += 1;
  try {
    return await act();
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}

async function ask(url: string, signal: AbortSignal, cache: RequestCache): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(url, { signal, cache, headers: { Accept: "application/json" } });
    if (answer.status !== BUSY || attempt === TRIES) return answer;
    const seconds = Number(answer.headers.get("Retry-After")) || PAUSE_S;
    await new Promise((resolve) => setTimeout(resolve, Math.min(seconds, 10) * 1000));
  }
}

async function get(url: string, signal: AbortSignal, cache: RequestCache): Promise<unknown> {
  let answer: Response;
  try {
    answer = await inTurn(() => ask(url, signal, cache));
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Refusal(t("unreachable"), 0);
  }
  const body = (await answer.json().catch(() => null)) as { detail?: string } | null;
  if (!answer.ok || body === null) {
    throw new Refusal(body?.detail ?? answer.statusText, answer.status);
  }
  return body;
}

export interface Read<Body> {
  body: Body | null;
  error: Refusal | null;
  /** When the body came, by this device's clock. */
  readAt: number | null;
  again: () => void;
}

const REFRESH_MS = 2 * 60_000;

/** What an address answers, read again when the server says that there is news, and every other
 * minute while it says nothing; null waits. */
export function useRead<Body>(url: string | null): Read<Body> {
  type Kept = { url: string | null; body: Body | null; error: Refusal | null; readAt: number | null };
  const [kept, setKept] = useState<Kept>({ url: null, body: null, error: null, readAt: null });
  const running = useRef<AbortController | null>(null);
  const load = useCallback((cache: RequestCache) => {
    running.current?.abort();
    if (url === null) return;
    const controller = new AbortController();
    running.current = controller;
    get(url, controller.signal, cache).then(
      (body) => setKept({ url, body: body as Body, error: null, readAt: Date.now() }),
      (error: unknown) => {
        if (controller.signal.aborted) return;
        const refusal = error instanceof Refusal ? error : new Refusal(String(error), 0);
        // The former answer stays, with its time: whoever shows it says how old it is.
        setKept((former) => ({ ...(former.url === url ? former : { body: null, readAt: null }), url, error: refusal }));
      },
    );
  }, [url]);
  const again = useCallback(() => load("default"), [load]);
  useEffect(() => {
    again();
    const timer = setInterval(() => isLive() || again(), REFRESH_MS);
    // What the browser keeps for a minute is of before the news.
    const ignore = onNews(() => load("no-cache"));
    const visible = () => document.visibilityState === "visible" && again();
    document.addEventListener("visibilitychange", visible);
    return () => {
      clearInterval(timer);
      ignore();
      document.removeEventListener("visibilitychange", visible);
      running.current?.abort();
    };
  }, [again, load]);
  const fresh = kept.url === url;
  return {
    body: fresh ? kept.body : null,
    error: fresh ? kept.error : null,
    readAt: fresh ? kept.readAt : null,
    again,
  };
}

/** A page of a table. */
export const useRows = <Row>(resource: string, query: Query | null): Read<Page<Row>> =>
  useRead<Page<Row>>(query === null ? null : address(resource, query));
