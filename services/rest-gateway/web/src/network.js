/** The page of the network. It is drawn again whenever an event says that the network has changed. */

import { every, getTopology } from "./api.js";
import { draw } from "./drawing.js";
import { follow } from "./events.js";
import { stateOf } from "./flow.js";
import { bitrate, plural } from "./format.js";
import { HUES, layout, nameOf, use } from "./layout.js";
import { keep } from "./token.js";

/** Figures change without events, so they are loaded this often. */
const POLL_MS = 4000;
/** Events come in groups. One request after this time is enough for all of them. */
const SETTLE_MS = 250;

const svg = document.querySelector("#picture svg");
const form = document.querySelector("#token");
let topology = null;
let only = null;
let settling = 0;

async function refresh() {
  topology = await getTopology();
  form.hidden = true;
  notice("");
  show();
}

function show() {
  const slugs = topology.trees.map(({ slug }) => slug);
  if (!slugs.includes(only)) only = null;
  const hues = new Map(slugs.map((slug, index) => [slug, index % HUES]));
  chips(slugs, hues);
  const picture = layout(topology, new Set(only ? [only] : slugs), svg.parentElement.clientWidth);
  draw(svg, picture, hues);
  list(picture);
  const more = topology.more_nodes ? "more than " : "";
  text("#counts", `${more}${plural(topology.nodes.length, "relay")} · ${plural(slugs.length, "stream")} on air`);
}

function chips(slugs, hues) {
  const box = document.querySelector("#streams-shown");
  const wanted = ["", ...slugs].join(" ") + only;
  if (box.dataset.shown === wanted) return;
  box.dataset.shown = wanted;
  box.replaceChildren(...(slugs.length > 0 ? [null, ...slugs] : []).map((slug) => chip(slug, hues.get(slug))));
}

function chip(slug, hue) {
  const button = document.createElement("button");
  button.textContent = slug ?? "All streams";
  button.className = slug === null ? "chip" : `chip hue-${hue}`;
  button.setAttribute("aria-pressed", slug === only);
  button.addEventListener("click", () => {
    only = slug;
    show();
  });
  return button;
}

function list({ nodes, left }) {
  const names = new Map(nodes.map((node) => [node.id, nameOf(node)]));
  const rows = nodes.map((node) => row(node, names));
  if (left > 0) rows.push(cells(["", `and ${plural(left, "node")} more`, "", "", "", ""]));
  document.querySelector("#nodes tbody").replaceChildren(...rows);
}

function row(node, names) {
  const feeders = new Set();
  for (const { slug, relays } of topology.trees) {
    const relay = relays.find(({ node: id }) => id === node.id);
    if (!relay || (only && slug !== only)) continue;
    feeders.add(relay.provider === null ? "its publisher" : (names.get(relay.provider) ?? relay.provider.slice(0, 8)));
  }
  const spent = `${bitrate(node.promised_kbps + node.viewer_kbps) || "nothing"} of ${bitrate(node.limit_kbps)}`;
  const viewers = String(node.viewers ?? 0);
  const made = cells([names.get(node.id), node.role, stateOf(node.state, node.flows), [...feeders].join(", ") || "–", spent, viewers]);
  made.children[5].dataset.count = viewers;
  made.dataset.id = node.id;
  made.dataset.state = node.state;
  made.dataset.flow = node.flow ?? "";
  made.firstChild.title = `${node.id} at ${node.advertise}`;
  const meter = document.createElement("meter");
  meter.value = use(node);
  made.children[4].append(meter);
  return made;
}

function cells(texts) {
  const made = document.createElement("tr");
  for (const content of texts) {
    const cell = document.createElement("td");
    cell.textContent = content;
    made.append(cell);
  }
  return made;
}

function text(selector, value) {
  const element = document.querySelector(selector);
  if (element.textContent !== value) element.textContent = value;
}

function notice(message) {
  text("#notice", message);
}

function failed(error) {
  const asks = error.status === 401 || error.status === 403;
  form.hidden = !asks;
  if (asks) notice(error.status === 403 ? error.message : "");
  else notice(error.code === "control_plane_away" ? "The control plane is unreachable. This is the last known state." : "The gateway does not answer. Trying again…");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  keep(new FormData(form).get("token").trim());
  refresh().catch(failed);
});
new ResizeObserver(() => topology && show()).observe(svg.parentElement);
every(POLL_MS, refresh, failed);
follow(
  () => {
    clearTimeout(settling);
    settling = setTimeout(() => refresh().catch(failed), SETTLE_MS);
  },
  (connected) => {
    const pulse = document.querySelector("#pulse");
    pulse.dataset.kind = connected ? "live" : "away";
    text("#pulse", connected ? "live" : "reconnecting…");
  },
);
