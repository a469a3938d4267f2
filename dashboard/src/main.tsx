/** The pages' frame: which page an address is, language and theme. */
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { current, keep, LANGUAGES, type Language, preferred, read, speak, t } from "./i18n";
import { AboutPage } from "./pages/about";
import { ComparePage } from "./pages/compare";
import { MapPage } from "./pages/map";
import { NetworksPage } from "./pages/networks";
import { StationPage } from "./pages/station";
import { Link } from "./parts/common";

const THEMES = { auto: "themeAuto", light: "themeLight", dark: "themeDark" } as const;
type Theme = keyof typeof THEMES;

const PAGES: Record<string, () => preact.JSX.Element> = {
  "/": MapPage,
  "/station": StationPage,
  "/compare": ComparePage,
  "/networks": NetworksPage,
  "/about": AboutPage,
};
const NAVIGATION = [
  ["/", "navMap"],
  ["/compare", "navCompare"],
  ["/networks", "navNetworks"],
  ["/about", "navAbout"],
] as const;

function setTheme(theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event("themechange"));
}

const knownTheme = (): Theme => {
  const kept = read("theme");
  return kept !== null && kept in THEMES ? (kept as Theme) : "auto";
};

function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
      <g fill="none" stroke="currentColor" stroke-width="2.8" stroke-linecap="round">
        <path d="M4 11h14a4 4 0 1 0-3.8-5.2" />
        <path d="M4 17h20a4 4 0 1 1-3.8 5.2" />
        <path d="M4 23h8a3 3 0 1 1-2.8 4" />
      </g>
    </svg>
  );
}

function App() {
  const [path, setPath] = useState(location.pathname);
  const [language, setLanguage] = useState<Language>(current());
  const [theme, choose] = useState<Theme>(knownTheme());
  useEffect(() => {
    const moved = () => setPath(location.pathname);
    addEventListener("popstate", moved);
    return () => removeEventListener("popstate", moved);
  }, []);
  const Shown = PAGES[path];
  const chooseLanguage = async (chosen: Language) => {
    await speak(chosen);
    keep("language", chosen);
    setLanguage(chosen);
  };
  const chooseTheme = (chosen: Theme) => {
    setTheme(chosen);
    keep("theme", chosen);
    choose(chosen);
  };
  return (
    <div class={path === "/" ? "frame frame-map" : "frame"} key={language}>
      <a class="skip" href="#content">{t("skip")}</a>
      <header class="top">
        <Link href="/" class="brand"><Logo /> {t("title")}</Link>
        <nav aria-label={t("menu")}>
          {NAVIGATION.map(([href, text]) => (
            <Link key={href} href={href} current={path === href}>{t(text)}</Link>
          ))}
        </nav>
        <div class="options">
          <label>
            <span class="hidden">{t("language")}</span>
            <select value={language} onChange={(e) => void chooseLanguage(e.currentTarget.value as Language)}>
              {Object.entries(LANGUAGES).map(([code, name]) => (
                <option key={code} value={code} lang={code}>{name}</option>
              ))}
            </select>
          </label>
          <label>
            <span class="hidden">{t("theme")}</span>
            <select value={theme} onChange={(e) => chooseTheme(e.currentTarget.value as Theme)}>
              {Object.entries(THEMES).map(([name, text]) => (
                <option key={name} value={name}>{t(text)}</option>
              ))}
            </select>
          </label>
        </div>
      </header>
      <main id="content" tabIndex={-1}>{Shown ? <Shown key={path} /> : <Missing />}</main>
    </div>
  );
}

function Missing() {
  return (
    <section class="page">
      <h1>{t("notFoundTitle")}</h1>
      <p><Link href="/">{t("toMap")}</Link></p>
    </section>
  );
}

setTheme(knownTheme());
await speak(preferred());
const root = document.getElementById("app");
if (root) render(<App />, root);
