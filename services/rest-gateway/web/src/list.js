/** The front page: the streams that are live. */

import { every, listStreams } from "./api.js";
import { bitrate, duration, plural, viewers } from "./format.js";
import { mountPublish } from "./publish.js";
import { drawThumbnail, supported } from "./thumbnail.js";

const POLL_MS = 2000;
const PICTURE_MS = 5000;
const LOOK_MS = 1000;

const grid = document.querySelector("#streams");
const template = document.querySelector("#card");
const cards = new Map();
const onScreen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) target.dataset.seen = isIntersecting ? "yes" : "";
});

function show(live) {
  const names = new Set(live.map(({ slug }) => slug));
  for (const slug of [...cards.keys()].filter((name) => !names.has(name))) removeCard(slug);
  for (const stream of live) fill(cards.get(stream.slug) ?? addCard(stream.slug), stream);
  document.body.dataset.view = live.length > 0 ? "streams" : "empty";
  document.querySelector("#summary").textContent = summary(live);
  notice("");
}

function summary(live) {
  const watching = live.reduce((sum, { viewers: by }) => sum + by.flv + by.rtmp + by.hls, 0);
  return `${plural(live.length, "stream")} · ${plural(watching, "viewer")}`;
}

function addCard(slug) {
  const card = template.content.cloneNode(true).firstElementChild;
  card.querySelector("a").href = `/watch/${slug}`;
  card.querySelector("h2").textContent = slug;
  const after = [...cards.keys()].filter((name) => name > slug).sort()[0];
  grid.insertBefore(card, after ? cards.get(after).card : null);
  onScreen.observe(card);
  const entry = { card, pictureAt: 0, busy: false };
  cards.set(slug, entry);
  return entry;
}

function removeCard(slug) {
  const { card } = cards.get(slug);
  onScreen.unobserve(card);
  card.remove();
  cards.delete(slug);
}

function fill(entry, stream) {
  const { card } = entry;
  entry.state = stream.state;
  card.dataset.state = stream.state;
  text(card, ".badge", stream.state === "live" ? "live" : "publisher away");
  text(card, ".since", stream.started_at ? duration(Date.now() - stream.started_at) : "");
  text(card, ".facts", [bitrate(stream.kbps), viewers(stream.viewers)].filter(Boolean).join(" · "));
}

function text(card, selector, value) {
  const element = card.querySelector(selector);
  if (element.textContent !== value) element.textContent = value;
}

/** Loads a new picture for each visible card whose picture is old. */
function refreshPictures() {
  if (document.visibilityState !== "visible") return;
  for (const [slug, entry] of cards) {
    const due = performance.now() - entry.pictureAt > PICTURE_MS || entry.pictureAt === 0;
    const changes = entry.state === "live" || !entry.card.dataset.picture;
    if (entry.card.dataset.seen && changes && due && !entry.busy) refreshPicture(slug, entry);
  }
}

async function refreshPicture(slug, entry) {
  entry.busy = true;
  try {
    await drawThumbnail(slug, entry.card.querySelector("canvas"));
    entry.card.dataset.picture = "yes";
  } catch {
    // The next turn tries again. Until then the old picture stays.
  }
  entry.pictureAt = performance.now();
  entry.busy = false;
}

function notice(message) {
  const element = document.querySelector("#notice");
  if (element.textContent !== message) element.textContent = message;
}

function failed(error) {
  const away = error.code === "control_plane_away";
  notice(away ? "The control plane is unreachable. This list may be out of date." : "The gateway does not answer. Trying again…");
}

const dialog = document.querySelector("dialog");
document.querySelector("#go-live").addEventListener("click", () => dialog.showModal());
dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
mountPublish();
every(POLL_MS, async () => show(await listStreams()), failed);
if (supported) setInterval(refreshPictures, LOOK_MS);
