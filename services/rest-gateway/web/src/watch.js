/** The page of one stream. */

import { every, getStream, publishUrl } from "./api.js";
import { mountControls } from "./controls.js";
import { duration, viewers } from "./format.js";
import { showNotices } from "./notices.js";
import { Player } from "./player.js";
import { copy } from "./publish.js";
import { statusLine } from "./status.js";

const POLL_MS = 2000;
const TICK_MS = 500;

const slug = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const $ = (selector) => document.querySelector(selector);
let stream;

document.title = `${slug} · Astral`;
$("h1").textContent = slug;
const prefer = new URLSearchParams(location.search).get("prefer");
const player = new Player(slug, $("video"), showStatus, prefer);
mountControls($("#stage"), player);
mountLinks();
every(POLL_MS, async () => arrived(await getStream(slug)), showStatus);
setInterval(showStatus, TICK_MS);

/** For tests and debugging: the player, its events, and how often hls.js failed. */
window.astralPlayer = player;

function arrived(now) {
  const was = stream === undefined ? "live" : stream?.state;
  const live = now?.state === "live";
  stream = now;
  player.expect(live);
  if (live && was !== "live" && was !== "grace") player.restart();
  showStatus();
  showFacts();
}

function showStatus() {
  const line = statusLine({
    slug,
    state: stream === null ? null : stream?.state,
    player: player.state,
    refusal: player.refusal,
    latency: player.latency,
    kbps: stream?.kbps,
    relay: player.route.host,
  });
  const element = $("#status");
  element.dataset.kind = line.kind;
  if (element.textContent !== line.text) element.textContent = line.text;
  $("#stage").dataset.kind = line.kind;
  $("#veil").textContent = line.kind === "live" ? "" : line.text;
}

function showFacts() {
  const live = stream?.state === "live";
  const since = live && stream.started_at ? `for ${duration(Date.now() - stream.started_at)}` : "";
  $("#facts").textContent = [since, stream ? viewers(stream.viewers) : ""].filter(Boolean).join(" · ");
  showNotices($("#notices"), stream, Date.now());
  $("#badge").hidden = !(live || stream?.state === "grace");
  $("#badge").dataset.state = stream?.state ?? "";
  $("#badge").textContent = live ? "live" : "publisher away";
}

/** Shows the addresses for other players, each with a button that copies it. */
async function mountLinks() {
  const show = (rtmp) => {
    const links = {
      flv: `ffplay -fflags nobuffer ${location.origin}/live/${slug}.flv`,
      hls: `${location.origin}/live/${slug}/index.m3u8`,
      rtmp: rtmp && `${rtmp}/${slug}`,
    };
    for (const [name, text] of Object.entries(links)) {
      const link = $(`[data-link=${name}]`);
      link.textContent = text;
      link.closest("[data-row]").hidden = !text;
    }
  };
  $("#links").addEventListener("click", ({ target }) => {
    if (target.matches("[data-copy]")) copy(target, target.closest("[data-row]").querySelector("code").textContent);
  });
  show(null);
  show(await publishUrl());
}
