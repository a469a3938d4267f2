/** What the server says is new: one stream a page, as long as someone looks at it. */
import { useEffect, useState } from "preact/hooks";

export interface LiveWindow {
  station_id: string;
  sensor: string;
  window_start: string;
  seconds: number;
  count: number;
  mean: number;
  unit: string;
}

// After a refusal, which a browser takes for the end.
const REFUSED_MS = 60_000;
// The server speaks at least every quarter of an hour: one that does not is gone.
const SILENT_MS = 20 * 60_000;
// All pages hear of it at the same moment, and need not ask at the same moment.
const SPREAD_MS = 2_000;

let source: EventSource | null = null;
let retry: ReturnType<typeof setTimeout> | undefined;
let published: string | null = null;
let heardAt = 0;
let station: string | null = null;
const news = new Set<() => void>();
const windows = new Set<(found: LiveWindow[]) => void>();

/** Whether the server would say that there is news. */
export const isLive = (): boolean =>
  source?.readyState === EventSource.OPEN && Date.now() - heardAt < SILENT_MS;

/** Calls back when answers of now may be others than before; gives what ends that. */
export function onNews(act: () => void): () => void {
  news.add(act);
  if (!source) open();
  return () => news.delete(act);
}

/** The newest averages of a device by what it measures; nothing without one. */
export function useLive(wanted: string | null): LiveWindow[] {
  const [found, setFound] = useState<Record<string, LiveWindow>>({});
  useEffect(() => {
    setFound({});
    if (wanted === null) return;
    const add = (new_: LiveWindow[]) =>
      setFound((former) => ({ ...former, ...Object.fromEntries(new_.map((one) => [one.sensor, one])) }));
    windows.add(add);
    station = wanted;
    open();
    return () => {
      windows.delete(add);
      station = null;
      open();
    };
  }, [wanted]);
  return Object.values(found);
}

function close(): void {
  clearTimeout(retry);
  source?.close();
  source = null;
}

function open(): void {
  close();
  // A browser has few connections to a server, which all its tabs share.
  if (document.visibilityState !== "visible" || !("EventSource" in window)) return;
  const asked = station === null ? "" : `?${new URLSearchParams({ station_id: station })}`;
  const made = new EventSource(`/v1/live${asked}`);
  source = made;
  made.onopen = () => {
    // After a break the server repeats nothing that this page knows.
    if (published !== null) heardAt = Date.now();
  };
  made.addEventListener("publication", (event: MessageEvent<string>) => {
    heardAt = Date.now();
    const known = published;
    published = event.data;
    if (known === null || known === published) return;
    setTimeout(() => news.forEach((act) => act()), Math.random() * SPREAD_MS);
  });
  made.addEventListener("windows", (event: MessageEvent<string>) => {
    const found = JSON.parse(event.data) as LiveWindow[];
    windows.forEach((act) => act(found));
  });
  made.onerror = () => {
    if (made.readyState === EventSource.CLOSED && source === made) retry = setTimeout(open, REFUSED_MS);
  };
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") open();
  else {
    close();
    // Whoever looks again reads all again.
    published = null;
  }
});
