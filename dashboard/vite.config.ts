import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { defineConfig, type Plugin } from "vite";

const HERE = import.meta.dirname;
const BUNDLED = ["preact", "supercluster", "kdbush", "topojson-client", "world-atlas"];

/** Every file that the build is made of; `tests/unit/serving/test_pages.py` hashes the same ones. */
function sources(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name !== "node_modules")
    .map((name) => join(folder, name))
    .flatMap((path) => (statSync(path).isDirectory() ? sources(path) : [path]));
}

function hashOfSources(): string {
  const hash = createHash("sha256");
  const named = sources(HERE).map((path) => [relative(HERE, path).split(sep).join("/"), path] as const);
  for (const [name, path] of named.sort(([a], [b]) => (a < b ? -1 : 1))) {
    const content = createHash("sha256").update(readFileSync(path)).digest("hex");
    hash.update(`${name} ${content}\n`);
  }
  return hash.digest("hex");
}

function licences(): string {
  const natural = "Natural Earth (https://www.naturalearthdata.com): the outlines of countries, public domain.\n";
  const others = BUNDLED.map((name) => {
    const folder = join(HERE, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const text = readFileSync(join(folder, "LICENSE"), "utf8");
    return `${name} ${version} (${license})\n\n${text.trim()}\n`;
  });
  return [natural, ...others].join(`\n${"-".repeat(78)}\n\n`);
}

/** What stands beside the build: whose sources it is of, and the licences of what is in it. */
function aboutTheBuild(): Plugin {
  return {
    name: "about-the-build",
    apply: "build",
    generateBundle() {
      const stamp = JSON.stringify({ sources: hashOfSources() }, null, 2);
      this.emitFile({ type: "asset", fileName: "build.json", source: `${stamp}\n` });
      this.emitFile({ type: "asset", fileName: "licences.txt", source: licences() });
    },
  };
}

export default defineConfig({
  plugins: [aboutTheBuild()],
  build: {
    outDir: "../aq_serving/pages/static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8700" } },
});
