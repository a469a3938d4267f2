/** Map tiles of a server that the settings name; without one there are outlines alone. */

const TILE = 256;
const DEEPEST = 19;
const MOST_KEPT = 300;

function setting(name: string): string | null {
  return document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content ?? null;
}

export const TILES_ADDRESS = setting("tiles");
export const TILES_ATTRIBUTION = setting("tiles-attribution");

export class Tiles {
  private readonly kept = new Map<string, HTMLImageElement>();

  constructor(
    private readonly address: string,
    private readonly loaded: () => void,
  ) {}

  /** Draw what is there of a view (Web Mercator, 0 to 1), and ask for the rest. */
  paint(pen: CanvasRenderingContext2D, view: { x: number; y: number; zoom: number }, width: number, height: number): void {
    const level = Math.max(0, Math.min(DEEPEST, Math.round(view.zoom)));
    const across = 2 ** level;
    const side = TILE * 2 ** (view.zoom - level);
    const left = view.x * across * side - width / 2;
    const top = view.y * across * side - height / 2;
    for (let row = Math.max(0, Math.floor(top / side)); row < across && row * side < top + height; row++) {
      for (let column = Math.floor(left / side); column * side < left + width; column++) {
        const tile = this.tile(level, ((column % across) + across) % across, row);
        // Half a pixel more, so that no seam shows.
        if (tile) pen.drawImage(tile, column * side - left, row * side - top, side + 0.5, side + 0.5);
      }
    }
  }

  private tile(level: number, column: number, row: number): HTMLImageElement | null {
    const key = `${level}/${column}/${row}`;
    let image = this.kept.get(key);
    if (image === undefined) {
      image = new Image();
      // Servers of tiles want to know which site asks, and nothing more.
      image.referrerPolicy = "origin";
      image.onload = this.loaded;
      const parts: Record<string, number> = { z: level, x: column, y: row };
      image.src = this.address.replace(/\{([xyz])\}/g, (_, name: string) => String(parts[name]));
    } else this.kept.delete(key);
    // The last that was drawn is the last to go.
    this.kept.set(key, image);
    if (this.kept.size > MOST_KEPT) this.kept.delete(this.kept.keys().next().value ?? "");
    return image.complete && image.naturalWidth > 0 ? image : null;
  }
}
