// Bundles src/ into dist/assets under hashed names, and writes the pages of dist/ that refer to them.

import { build } from "esbuild";
import { readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";

const PAGES = ["index.html", "watch.html", "network.html", "docs.html"];

await rm("dist", { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: ["src/list.js", "src/watch.js", "src/network.js", "src/docs.js", "src/style.css", "src/logo.svg"],
  outdir: "dist/assets",
  entryNames: "[name]-[hash]",
  loader: { ".svg": "copy" },
  format: "esm",
  target: "es2022",
  bundle: true,
  minify: true,
  metafile: true,
  legalComments: "inline",
});

const built = Object.entries(metafile.outputs).map(([output, { entryPoint, inputs }]) => [
  entryPoint ?? Object.keys(inputs)[0],
  `/assets/${path.basename(output)}`,
]);
for (const page of PAGES) {
  let html = await readFile(page, "utf8");
  for (const [source, url] of built) html = html.replaceAll(`"${source}"`, `"${url}"`);
  await writeFile(`dist/${page}`, html);
}
