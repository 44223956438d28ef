/** The box with the settings for publishers. */

import { publishUrl } from "./api.js";

const SLUG_MAX = 64;
const COPIED_MS = 1500;

/** Turns input into a stream name: letters, digits, `-` and `_`. */
export function slugFrom(typed) {
  return typed.trim().replace(/[^A-Za-z0-9_-]+/g, "-").slice(0, SLUG_MAX);
}

/** Returns the settings for the stream `slug`. `server` is `rtmp://host:port/live`, or null if it is not known. */
export function recipes(server, slug) {
  if (server === null) return { server: "", key: slug, ffmpeg: "" };
  const picture = "-f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine";
  const encode = "-c:v libx264 -preset veryfast -g 60 -c:a aac";
  return { server, key: slug, ffmpeg: `ffmpeg -re ${picture} ${encode} -f flv ${server}/${slug}` };
}

/** Fills every `[data-publish]` element with a copy of the `publish` template, and keeps the copies up to date. */
export async function mountPublish() {
  const boxes = [...document.querySelectorAll("[data-publish]")].map(mountBox);
  const server = await publishUrl();
  for (const box of boxes) box(server);
}

/** Copies `text`, and shows that on `button` for a moment. */
export async function copy(button, text) {
  const label = (button.dataset.label ??= button.textContent);
  const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  button.textContent = done ? "Copied" : "Press Ctrl+C";
  setTimeout(() => (button.textContent = label), COPIED_MS);
}

function mountBox(slot) {
  slot.append(document.querySelector("#publish").content.cloneNode(true));
  const name = slot.querySelector("input");
  const watch = slot.querySelector("[data-watch]");
  let server = null;
  const refresh = () => {
    const slug = slugFrom(name.value) || "demo";
    const texts = recipes(server, slug);
    for (const code of slot.querySelectorAll("[data-recipe]")) code.textContent = texts[code.dataset.recipe];
    watch.href = `/watch/${slug}`;
    watch.textContent = `${location.host}/watch/${slug}`;
  };
  name.addEventListener("input", refresh);
  slot.addEventListener("click", ({ target }) => {
    if (target.matches("[data-copy]")) copy(target, target.closest("[data-row]").querySelector("code").textContent);
  });
  refresh();
  return (found) => {
    server = found;
    slot.dataset.server = found === null ? "unknown" : "known";
    refresh();
  };
}
