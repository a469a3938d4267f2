/** The map of all stations, and the list that says the same. */
import { useMemo, useState } from "preact/hooks";
import { type Horizon, type NetworkHealth, type Overview, useRows } from "../api";
import { clock, country, dayAndClock, t } from "../i18n";
import {
  Badge, categoryName, Choice, HORIZON_NAMES, HORIZONS, hourSpan, Legend, Link, nameOf, Outdated, parameterName,
  stationAddress, useTitle, Waiting, whyUnknown, zoneOf,
} from "../parts/common";
import { WorldMap } from "../parts/worldmap";

const AT_FIRST = 50;
const NO_STATIONS: Overview[] = [];
type Order = "worst" | "name";

export function MapPage() {
  useTitle(t("mapTitle"));
  const read = useRows<Overview>("overview", {});
  const networks = useRows<NetworkHealth>("networks", {});
  const [horizon, setHorizon] = useState<Horizon>(0);
  const [chosen, setChosen] = useState<Overview | null>(null);
  const stations = read.body?.data ?? NO_STATIONS;
  const shown = chosen && (stations.find((s) => s.network === chosen.network && s.station_id === chosen.station_id) ?? null);
  return (
    <div class="map-page">
      <h1 class="hidden">{t("mapTitle")}</h1>
      <div class="map-side">
        <WorldMap stations={stations} horizon={horizon} chosen={shown} onChoose={setChosen} />
        <div class="over-map">
          <Choice
            label={t("when")}
            value={horizon}
            options={HORIZONS.map((value) => ({ value, text: t(HORIZON_NAMES[value]) }))}
            onChoose={setHorizon}
          />
        </div>
        {shown && <Card station={shown} horizon={horizon} onClose={() => setChosen(null)} />}
      </div>
      <aside class="list-side" aria-label={t("stations")}>
        <Legend />
        <Outdated read={read} />
        <NetworksDown networks={networks.body?.data ?? []} />
        <Waiting read={read} />
        {read.body && <StationList stations={stations} horizon={horizon} />}
      </aside>
    </div>
  );
}

export function NetworksDown({ networks }: { networks: NetworkHealth[] }) {
  return (
    <>
      {networks.filter((one) => one.state !== "current").map(({ network, newest_hour }) => (
        <p key={network} class="notice notice-warn" role="status">
          {newest_hour === null
            ? t("networkEmpty", { network })
            : t("networkSilent", { network, time: `${dayAndClock(new Date(newest_hour), "UTC")} UTC` })}
        </p>
      ))}
    </>
  );
}

function Card({ station, horizon, onClose }: { station: Overview; horizon: Horizon; onClose: () => void }) {
  return (
    <section class="card map-card" aria-live="polite">
      <button type="button" class="close" aria-label={t("close")} onClick={onClose}>×</button>
      <h2>{nameOf(station)}</h2>
      <p class="quiet">{whereabouts(station)}</p>
      <p class="reading"><Badge rank={station[`rank_${horizon}`]} large /> <span>{saying(station, horizon)}</span></p>
      <Link href={stationAddress(station)} class="button">{t("open")}</Link>
    </section>
  );
}

export const whereabouts = (s: Overview): string =>
  [...new Set([s.city, country(s.country), s.network])].filter(Boolean).join(" · ");

function saying(station: Overview, horizon: Horizon): preact.ComponentChild {
  const rank = station[`rank_${horizon}`];
  const hour = station[`hour_${horizon}`];
  if (rank === null || hour === null) return whyUnknown(station, horizon);
  const span = hourSpan(hour, zoneOf(station));
  return (
    <>
      <strong>{categoryName(rank)}</strong>{" "}
      <span class="quiet">
        {t("from", { parameter: parameterName(station[`parameter_${horizon}`] ?? "") })},{" "}
        {t(horizon === 0 ? "measuredHour" : "forecastHour", span)}
      </span>
    </>
  );
}

function StationList({ stations, horizon }: { stations: Overview[]; horizon: Horizon }) {
  const [search, setSearch] = useState("");
  const [order, setOrder] = useState<Order>("worst");
  const [most, setMost] = useState(AT_FIRST);
  const found = useMemo(() => {
    const wanted = search.trim().toLocaleLowerCase();
    const text = (s: Overview) => `${nameOf(s)} ${whereabouts(s)} ${s.station_id}`.toLocaleLowerCase();
    const rank = (s: Overview) => s[`rank_${horizon}`] ?? 0;
    const byName = (a: Overview, b: Overview) => nameOf(a).localeCompare(nameOf(b));
    return stations
      .filter((s) => wanted === "" || text(s).includes(wanted))
      .sort((a, b) => (order === "worst" && rank(b) - rank(a)) || byName(a, b));
  }, [stations, search, order, horizon]);
  if (stations.length === 0) return <p>{t("noStations")}</p>;
  return (
    <>
      <div class="list-head">
        <label>
          <span>{t("search")}</span>
          <input type="search" value={search} onInput={(e) => setSearch(e.currentTarget.value)} />
        </label>
        <label>
          <span>{t("sort")}</span>
          <select value={order} onChange={(e) => setOrder(e.currentTarget.value as Order)}>
            <option value="worst">{t("sortWorst")}</option>
            <option value="name">{t("sortName")}</option>
          </select>
        </label>
      </div>
      <p class="quiet" role="status">
        {found.length === 0 ? t("noMatch") : t("shownOf", { shown: Math.min(most, found.length), all: found.length })}
      </p>
      <ul class="stations">
        {found.slice(0, most).map((s) => (
          <li key={`${s.network} ${s.station_id}`}>
            <Link href={stationAddress(s)}>
              <Badge rank={s[`rank_${horizon}`]} />
              <span class="station-name">
                <strong>{nameOf(s)}</strong>
                <span class="quiet">{whereabouts(s)}</span>
              </span>
              <span class="station-said">{brief(s, horizon)}</span>
            </Link>
          </li>
        ))}
      </ul>
      {found.length > most && (
        <button type="button" class="button" onClick={() => setMost(most + 4 * AT_FIRST)}>{t("more")}</button>
      )}
    </>
  );
}

function brief(station: Overview, horizon: Horizon): string {
  const rank = station[`rank_${horizon}`];
  const hour = station[`hour_${horizon}`];
  if (rank === null || hour === null) return whyUnknown(station, horizon);
  return `${categoryName(rank)}, ${clock(new Date(hour), zoneOf(station))}`;
}
