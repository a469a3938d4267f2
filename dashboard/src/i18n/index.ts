/** The language of the pages: which one, its texts, and how it writes numbers and times. */
import type { Key, Texts } from "./en";

export const LANGUAGES = { en: "English", fr: "Français", it: "Italiano", nl: "Nederlands" };
export type Language = keyof typeof LANGUAGES;

const LOADERS: Record<Language, () => Promise<Texts>> = {
  en: () => import("./en").then((module) => module.en),
  fr: () => import("./fr").then((module) => module.fr),
  it: () => import("./it").then((module) => module.it),
  nl: () => import("./nl").then((module) => module.nl),
};
const LOCALES: Record<Language, string> = { en: "en-GB", fr: "fr", it: "it", nl: "nl" };

let language: Language = "en";
let texts: Texts;
const formats = new Map<string, Intl.DateTimeFormat>();

export function preferred(): Language {
  const wished = [read("language"), ...navigator.languages].map((one) => one?.slice(0, 2));
  return (wished.find((one) => one && one in LANGUAGES) ?? "en") as Language;
}

export async function speak(chosen: Language): Promise<void> {
  texts = await LOADERS[chosen]();
  language = chosen;
  formats.clear();
  document.documentElement.lang = chosen;
}

export const current = (): Language => language;

/** The text of a key with its `{…}` filled in. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return texts[key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
}

/** The text of a name that comes from the data; the name itself where it has none. */
export function named(prefix: string, name: string): string {
  const text = (texts as Record<string, string>)[prefix + name];
  return text ?? name.replaceAll("_", " ");
}

export function number(value: number, digits?: number): string {
  const places = digits ?? (Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0);
  return new Intl.NumberFormat(LOCALES[language], { maximumFractionDigits: places }).format(value);
}

export const percent = (share: number): string =>
  new Intl.NumberFormat(LOCALES[language], { style: "percent", maximumFractionDigits: 0 }).format(share);

export function country(code: string | null): string {
  if (!code) return "";
  return new Intl.DisplayNames(LOCALES[language], { type: "region" }).of(code) ?? code;
}

/** An instant, or a day without a zone (`zone` is then UTC), as the language writes it. */
export function moment(at: Date, zone: string, options: Intl.DateTimeFormatOptions): string {
  const key = zone + JSON.stringify(options);
  let format = formats.get(key);
  if (!format) {
    format = new Intl.DateTimeFormat(LOCALES[language], { timeZone: zone, hourCycle: "h23", ...options });
    formats.set(key, format);
  }
  return format.format(at);
}

export const clock = (at: Date, zone: string): string =>
  moment(at, zone, { hour: "2-digit", minute: "2-digit" });
export const dayAndClock = (at: Date, zone: string): string =>
  moment(at, zone, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
export const day = (date: string): string =>
  moment(new Date(`${date}T00:00:00Z`), "UTC", { weekday: "short", day: "numeric", month: "long" });

/** How long ago something was, in words. */
export function ago(milliseconds: number): string {
  const minutes = Math.round(milliseconds / 60_000);
  const format = new Intl.RelativeTimeFormat(LOCALES[language], { numeric: "always" });
  return minutes < 90 ? format.format(-minutes, "minute") : format.format(-Math.round(minutes / 60), "hour");
}

/** What the browser keeps, where it lets pages keep anything. */
export function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // A browser that keeps nothing asks again next time.
  }
}
