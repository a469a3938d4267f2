/** The map: outlines of countries and clustered stations on a canvas, in Web Mercator. */
import { useEffect, useRef, useState } from "preact/hooks";
import Supercluster, { type ClusterFeature, type PointFeature } from "supercluster";
import { feature, mesh } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import coarseOutlines from "world-atlas/countries-110m.json?url";
import fineOutlines from "world-atlas/countries-50m.json?url";
import type { Horizon, Overview } from "../api";
import { t } from "../i18n";
import { categoryName, colourOf, inkOf, nameOf } from "./common";
import { Tiles, TILES_ADDRESS, TILES_ATTRIBUTION } from "./tiles";

interface View {
  x: number;
  y: number;
  zoom: number;
}
interface Outlines {
  land: Path2D;
  borders: Path2D;
}
interface Counts {
  ranks: number[];
}
type Cluster = ClusterFeature<Counts> | PointFeature<{ at: number }>;
/** Something drawn that can be pressed; `canvas.marks` has them for whoever drives the page. */
export interface Mark {
  x: number;
  y: number;
  radius: number;
  station: Overview | null;
  cluster: number | null;
}
type MarkedCanvas = HTMLCanvasElement & { marks?: Mark[] };

const TILE = 256;
const ZOOMS = { least: 1, most: 13, fine: 4, fit: 9, names: 8.5 };
const RADIUS = 12;
const BELOW = 1.2;

const eastward = (longitude: number): number => longitude / 360 + 0.5;
function southward(latitude: number): number {
  const sine = Math.sin((Math.max(-85, Math.min(85, latitude)) * Math.PI) / 180);
  return 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
}
const longitudeOf = (x: number): number => (x - 0.5) * 360;
const latitudeOf = (y: number): number => (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI;

/** Lines that go on beyond the antimeridian where they cross it: the map is drawn once a turn. */
function pathOf(lines: GeoJSON.Position[][], closed: boolean): Path2D {
  const path = new Path2D();
  for (const line of lines) {
    let turns = 0;
    let before = line[0]?.[0] ?? 0;
    const start = eastward(before);
    line.forEach(([longitude = 0, latitude = 0], place) => {
      if (Math.abs(longitude - before) > 180) turns += longitude < before ? 1 : -1;
      before = longitude;
      const x = eastward(longitude) + turns;
      if (place === 0) path.moveTo(x, southward(latitude));
      else path.lineTo(x, southward(latitude));
    });
    if (!closed) continue;
    if (turns !== 0) {
      // Around the pole, which lies below the map.
      path.lineTo(start + turns, BELOW);
      path.lineTo(start, BELOW);
    }
    path.closePath();
  }
  return path;
}

async function readOutlines(url: string): Promise<Outlines> {
  const topology = (await (await fetch(url)).json()) as Topology<{
    land: GeometryCollection;
    countries: GeometryCollection;
  }>;
  const rings = feature(topology, topology.objects.land).features.flatMap(({ geometry }) =>
    geometry.type === "MultiPolygon" ? geometry.coordinates.flat() : geometry.type === "Polygon" ? geometry.coordinates : [],
  );
  const borders = mesh(topology, topology.objects.countries, (a, b) => a !== b);
  return { land: pathOf(rings, true), borders: pathOf(borders.coordinates, false) };
}

function clustersOf(stations: Overview[], horizon: Horizon): Supercluster<{ at: number }, Counts> {
  const index = new Supercluster<{ at: number }, Counts>({
    radius: 44,
    maxZoom: 12,
    map: ({ at }) => {
      const ranks = [0, 0, 0, 0, 0, 0, 0];
      ranks[stations[at]?.[`rank_${horizon}`] ?? 0] = 1;
      return { ranks };
    },
    reduce: (sum, one) => {
      sum.ranks = sum.ranks.map((count, rank) => count + (one.ranks[rank] ?? 0));
    },
  });
  const points = stations.flatMap(({ latitude, longitude }, at) =>
    latitude === null || longitude === null
      ? []
      : [{ type: "Feature" as const, properties: { at }, geometry: { type: "Point" as const, coordinates: [longitude, latitude] } }],
  );
  return index.load(points);
}

function viewOf(stations: Overview[], width: number, height: number): View {
  const placed = stations.filter((one) => one.latitude !== null && one.longitude !== null);
  if (placed.length === 0) return { x: 0.5, y: 0.42, zoom: 1.5 };
  const xs = placed.map((one) => eastward(one.longitude ?? 0));
  const ys = placed.map((one) => southward(one.latitude ?? 0));
  const least = (values: number[]) => values.reduce((a, b) => Math.min(a, b));
  const most = (values: number[]) => values.reduce((a, b) => Math.max(a, b));
  const [west, east, north, south] = [least(xs), most(xs), least(ys), most(ys)];
  const fit = Math.min((width - 120) / (east - west || 1e-9), (height - 120) / (south - north || 1e-9));
  const zoom = Math.max(ZOOMS.least, Math.min(ZOOMS.fit, Math.log2(Math.max(fit, 1) / TILE)));
  return { x: (west + east) / 2, y: (north + south) / 2, zoom };
}

interface Props {
  stations: Overview[];
  horizon: Horizon;
  chosen: Overview | null;
  onChoose: (station: Overview | null) => void;
}

export function WorldMap(props: Props) {
  const canvas = useRef<MarkedCanvas>(null);
  const map = useRef<Drawing | null>(null);
  const [hint, setHint] = useState<{ x: number; y: number; text: string } | null>(null);
  useEffect(() => {
    if (!canvas.current) return;
    const drawing = new Drawing(canvas.current, setHint);
    map.current = drawing;
    return () => drawing.end();
  }, []);
  useEffect(() => map.current?.show(props), [props.stations, props.horizon, props.chosen, props.onChoose]);
  const onKeyDown = (event: KeyboardEvent) => {
    if (map.current?.press(event.key)) event.preventDefault();
  };
  return (
    <div class="map">
      <canvas ref={canvas} tabIndex={0} role="application" aria-label={t("mapLabel")} onKeyDown={onKeyDown} />
      {hint && (
        <div class="hint" style={{ left: `${hint.x}px`, top: `${hint.y}px` }} aria-hidden="true">
          {hint.text}
        </div>
      )}
      <div class="zoom">
        <button type="button" aria-label={t("zoomIn")} title={t("zoomIn")} onClick={() => map.current?.zoomBy(1)}>+</button>
        <button type="button" aria-label={t("zoomOut")} title={t("zoomOut")} onClick={() => map.current?.zoomBy(-1)}>−</button>
        <button type="button" aria-label={t("showAll")} title={t("showAll")} onClick={() => map.current?.fit()}>⤢</button>
      </div>
      <p class="source">{[t("outlines"), TILES_ATTRIBUTION].filter(Boolean).join(" · ")}</p>
    </div>
  );
}

/** What is drawn and how fingers, mouse and keys move it; outside Preact, since it moves often. */
class Drawing {
  private view: View = { x: 0.5, y: 0.42, zoom: 1.5 };
  private props: Props | null = null;
  private index: Supercluster<{ at: number }, Counts> | null = null;
  private outlines: Partial<Record<"coarse" | "fine", Outlines>> = {};
  private pointers = new Map<number, { x: number; y: number }>();
  private moved = 0;
  private frame = 0;
  private fitted = false;
  private marks: Mark[] = [];
  private readonly tiles = TILES_ADDRESS === null ? null : new Tiles(TILES_ADDRESS, () => this.draw());
  private readonly away = new AbortController();
  private readonly resized: ResizeObserver;

  constructor(
    private readonly canvas: MarkedCanvas,
    private readonly setHint: (hint: { x: number; y: number; text: string } | null) => void,
  ) {
    const { signal } = this.away;
    const on = <Name extends keyof HTMLElementEventMap>(name: Name, act: (event: HTMLElementEventMap[Name]) => void) =>
      canvas.addEventListener(name, act, { signal, passive: false });
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.pointers.delete(event.pointerId));
    on("pointerleave", () => this.setHint(null));
    on("dblclick", (event) => this.zoomAt(event.offsetX, event.offsetY, 1));
    on("wheel", (event) => {
      event.preventDefault();
      this.zoomAt(event.offsetX, event.offsetY, -event.deltaY / (event.ctrlKey ? 100 : 400));
    });
    addEventListener("themechange", () => this.draw(), { signal });
    addEventListener("beforeprint", () => this.paintForPaper(), { signal });
    addEventListener("afterprint", () => this.draw(), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(), { signal });
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(canvas);
    void this.load("coarse", coarseOutlines);
  }

  end(): void {
    this.away.abort();
    this.resized.disconnect();
    cancelAnimationFrame(this.frame);
  }

  show(props: Props): void {
    if (props.stations !== this.props?.stations || props.horizon !== this.props.horizon) {
      this.index = clustersOf(props.stations, props.horizon);
    }
    const { chosen } = props;
    const newlyChosen = chosen !== null && chosen !== this.props?.chosen;
    this.props = props;
    if (!this.fitted && props.stations.length > 0) this.fit();
    if (newlyChosen && chosen.latitude !== null && chosen.longitude !== null) {
      const shown = this.marks.some((mark) => mark.station === chosen);
      if (!shown) this.view = { x: eastward(chosen.longitude), y: southward(chosen.latitude), zoom: Math.max(this.view.zoom, 10) };
    }
    this.draw();
  }

  fit(): void {
    const { width, height } = this.size();
    this.fitted = width > 0;
    this.view = viewOf(this.props?.stations ?? [], width, height);
    this.draw();
  }

  zoomBy(levels: number): void {
    const { width, height } = this.size();
    this.zoomAt(width / 2, height / 2, levels);
  }

  press(key: string): boolean {
    const steps: Record<string, [number, number]> = {
      ArrowLeft: [80, 0],
      ArrowRight: [-80, 0],
      ArrowUp: [0, 80],
      ArrowDown: [0, -80],
    };
    const step = steps[key];
    if (step) this.pan(...step);
    else if (key === "+" || key === "=") this.zoomBy(1);
    else if (key === "-") this.zoomBy(-1);
    else return false;
    return true;
  }

  private async load(which: "coarse" | "fine", url: string): Promise<void> {
    try {
      this.outlines[which] = await readOutlines(url);
    } catch {
      // Stations without outlines are still of use; the next zoom tries again.
      delete this.outlines[which];
    }
    this.draw();
  }

  private fineAsked = false;

  private size(): { width: number; height: number } {
    return { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
  }

  private get scale(): number {
    return TILE * 2 ** this.view.zoom;
  }

  private resize(): void {
    const { width, height } = this.size();
    const ratio = devicePixelRatio;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    if (!this.fitted && (this.props?.stations.length ?? 0) > 0) this.fit();
    this.draw();
  }

  private pan(right: number, down: number): void {
    const within = (value: number) => Math.max(0, Math.min(1, value));
    const { x, y } = this.view;
    this.view = { ...this.view, x: within(x - right / this.scale), y: within(y - down / this.scale) };
    this.draw();
  }

  private zoomAt(x: number, y: number, levels: number): void {
    const { width, height } = this.size();
    const before = this.scale;
    const zoom = Math.max(ZOOMS.least, Math.min(ZOOMS.most, this.view.zoom + levels));
    const after = TILE * 2 ** zoom;
    const shift = 1 / before - 1 / after;
    this.view = { x: this.view.x + (x - width / 2) * shift, y: this.view.y + (y - height / 2) * shift, zoom };
    this.draw();
  }

  private down(event: PointerEvent): void {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    if (this.pointers.size === 1) this.moved = 0;
  }

  private move(event: PointerEvent): void {
    const here = { x: event.offsetX, y: event.offsetY };
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.point(here);
      return;
    }
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    this.pointers.set(event.pointerId, here);
    this.moved += Math.hypot(here.x - before.x, here.y - before.y);
    const other = others[0];
    if (other) {
      const spread = Math.hypot(here.x - other.x, here.y - other.y) / Math.hypot(before.x - other.x, before.y - other.y);
      if (spread > 0) this.zoomAt((here.x + other.x) / 2, (here.y + other.y) / 2, Math.log2(spread));
    } else this.pan(here.x - before.x, here.y - before.y);
  }

  private up(event: PointerEvent): void {
    this.pointers.delete(event.pointerId);
    if (this.moved > 6) return;
    const mark = this.markAt({ x: event.offsetX, y: event.offsetY });
    if (mark?.cluster != null && this.index) {
      const zoom = Math.min(ZOOMS.most, this.index.getClusterExpansionZoom(mark.cluster));
      this.zoomAt(mark.x, mark.y, zoom - this.view.zoom + 0.3);
    } else this.props?.onChoose(mark?.station ?? null);
  }

  private point(at: { x: number; y: number }): void {
    const mark = this.markAt(at);
    this.canvas.style.cursor = mark ? "pointer" : "grab";
    this.setHint(mark?.station ? { x: mark.x, y: mark.y, text: nameOf(mark.station) } : null);
  }

  private markAt({ x, y }: { x: number; y: number }): Mark | undefined {
    return this.marks.findLast((mark) => Math.hypot(mark.x - x, mark.y - y) <= mark.radius + 4);
  }

  private draw(): void {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.paint());
  }

  /** In light colours, at once: a frame that is only asked for comes after the paper. */
  private paintForPaper(): void {
    const { dataset } = document.documentElement;
    const { theme } = dataset;
    dataset.theme = "light";
    this.paint();
    if (theme === undefined) delete dataset.theme;
    else dataset.theme = theme;
  }

  private paint(): void {
    const pen = this.canvas.getContext("2d");
    const { width, height } = this.size();
    if (!pen || width === 0) return;
    const styles = getComputedStyle(this.canvas);
    const colour = (name: string) => styles.getPropertyValue(name);
    const ratio = devicePixelRatio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = colour("--sea");
    pen.fillRect(0, 0, width, height);
    if (this.view.zoom > ZOOMS.fine && !this.fineAsked) {
      this.fineAsked = true;
      void this.load("fine", fineOutlines);
    }
    const outlines = (this.view.zoom > ZOOMS.fine && this.outlines.fine) || this.outlines.coarse;
    if (outlines) {
      const { scale } = this;
      const across = width / 2 / scale;
      for (let turn = Math.floor(this.view.x - across) - 1; turn <= this.view.x + across; turn++) {
        pen.save();
        pen.translate(width / 2 - (this.view.x - turn) * scale, height / 2 - this.view.y * scale);
        pen.scale(scale, scale);
        pen.fillStyle = colour("--land");
        pen.fill(outlines.land);
        pen.lineWidth = 0.8 / scale;
        pen.strokeStyle = colour("--coast");
        pen.stroke(outlines.land);
        pen.strokeStyle = colour("--border");
        pen.stroke(outlines.borders);
        pen.restore();
      }
    }
    this.tiles?.paint(pen, this.view, width, height);
    this.marks = this.visible(width, height).map((one) => this.paintMark(pen, one, colour));
    this.canvas.marks = this.marks;
  }

  private visible(width: number, height: number): Cluster[] {
    if (!this.index) return [];
    const across = (width / 2 + 40) / this.scale;
    const along = (height / 2 + 40) / this.scale;
    const { x, y, zoom } = this.view;
    const west = Math.max(-180, longitudeOf(x - across));
    const east = Math.min(180, longitudeOf(x + across));
    return this.index.getClusters([west, latitudeOf(y + along), east, latitudeOf(y - along)], Math.floor(zoom));
  }

  private paintMark(pen: CanvasRenderingContext2D, one: Cluster, colour: (name: string) => string): Mark {
    const { width, height } = this.size();
    const [longitude = 0, latitude = 0] = one.geometry.coordinates;
    const x = (eastward(longitude) - this.view.x) * this.scale + width / 2;
    const y = (southward(latitude) - this.view.y) * this.scale + height / 2;
    if ("cluster" in one.properties) {
      const { ranks, point_count: count, cluster_id } = one.properties;
      const radius = 14 + Math.min(16, Math.log2(count) * 2);
      paintRing(pen, { x, y, radius }, ranks, colour);
      write(pen, count > 999 ? `${Math.round(count / 100) / 10}k` : String(count), x, y, colour("--ink"));
      return { x, y, radius, station: null, cluster: cluster_id };
    }
    const station = this.props?.stations[one.properties.at] ?? null;
    const rank = station?.[`rank_${this.props?.horizon ?? 0}`] ?? null;
    pen.beginPath();
    pen.arc(x, y, RADIUS, 0, 2 * Math.PI);
    pen.fillStyle = rank === null ? colour("--card") : colourOf(rank);
    pen.fill();
    pen.lineWidth = station === this.props?.chosen ? 4 : 2;
    pen.strokeStyle = station === this.props?.chosen ? colour("--accent") : rank === null ? colour("--quiet") : colour("--card");
    pen.setLineDash(rank === null ? [3, 3] : []);
    pen.stroke();
    pen.setLineDash([]);
    write(pen, rank === null ? "–" : String(rank), x, y, rank === null ? colour("--quiet") : inkOf(rank));
    if (station && this.view.zoom >= ZOOMS.names) name(pen, nameOf(station), x + RADIUS + 5, y, colour);
    return { x, y, radius: RADIUS, station, cluster: null };
  }
}

function paintRing(
  pen: CanvasRenderingContext2D,
  { x, y, radius }: { x: number; y: number; radius: number },
  ranks: number[],
  colour: (name: string) => string,
): void {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fillStyle = colour("--card");
  pen.fill();
  const all = ranks.reduce((sum, count) => sum + count, 0);
  let angle = -Math.PI / 2;
  pen.lineWidth = 6;
  ranks.forEach((count, rank) => {
    if (count === 0) return;
    const next = angle + (count / all) * 2 * Math.PI;
    pen.beginPath();
    pen.arc(x, y, radius - 3, angle, next);
    pen.strokeStyle = rank === 0 ? colour("--quiet") : colourOf(rank);
    pen.stroke();
    angle = next;
  });
}

function write(pen: CanvasRenderingContext2D, text: string, x: number, y: number, colour: string): void {
  pen.font = "600 12px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillStyle = colour;
  pen.fillText(text, x, y + 0.5);
}

function name(pen: CanvasRenderingContext2D, text: string, x: number, y: number, colour: (name: string) => string): void {
  pen.font = "500 12px system-ui, sans-serif";
  pen.textAlign = "left";
  pen.lineWidth = 3;
  pen.strokeStyle = colour("--land");
  pen.strokeText(text, x, y);
  pen.fillStyle = colour("--ink");
  pen.fillText(text, x, y);
}

/** What a screen reader hears of a station in one line. */
export const spoken = (rank: number | null): string => (rank === null ? t("unknown") : `${rank}, ${categoryName(rank)}`);
