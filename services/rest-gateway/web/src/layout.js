/** Where each relay stands in the picture: by its distance from the origin, beside those it is fed by. */

import { flowOf, worstOf } from "./flow.js";

const NODES_MAX = 120;
/** Width of a character of a name, in pixels. */
const CHARACTER = 8;

/** Colours of streams, in order of their names; they come round again after these. */
export const HUES = 6;

/**
 * The picture of `topology` in `width` pixels: `{nodes, links, width, height, upright, left}`; `shown` are the slugs whose
 * trees are drawn. Where there is no width for columns, distance grows downwards.
 */
export function layout(topology, shown, width) {
  const trees = topology.trees.filter(({ slug }) => shown.has(slug));
  const relays = new Map();
  for (const { slug, relays: of } of trees) for (const relay of of) collect(relays, slug, relay);
  const all = topology.nodes.map((node) => ({ ...node, id: node.uuid, ...(relays.get(node.uuid) ?? { carries: [], flows: [] }) }));
  const drawn = all.sort(byWeight).slice(0, NODES_MAX);
  const ranks = inRanks(drawn);
  const size = place(ranks, width);
  const at = new Map(drawn.map((node) => [node.id, node]));
  const links = primaries(drawn, at).concat(trees.flatMap((tree, nth) => linksOf(tree, at, nth)));
  return { nodes: drawn, links, left: all.length - drawn.length, ...size };
}

function collect(relays, slug, relay) {
  const { node, hops, viewers, provider } = relay;
  const known = relays.get(node) ?? { carries: [], flows: [], hops: 0, viewers: 0, origin: false };
  known.carries.push(slug);
  known.flows.push({ slug, ...flowOf(relay) });
  known.flow = worstOf(known.flows);
  known.hops = Math.max(known.hops, hops);
  known.viewers += viewers.flv + viewers.rtmp + viewers.hls;
  known.origin ||= provider === null;
  relays.set(node, known);
}

/** Those that carry something, then supernodes, then the rest; always in the same order. */
function byWeight(one, other) {
  const weight = ({ carries, role }) => (carries.length > 0 ? 0 : role === "supernode" ? 1 : 2);
  return weight(one) - weight(other) || (one.hops ?? 0) - (other.hops ?? 0) || (one.id < other.id ? -1 : 1);
}

/** Nodes by distance; those that carry nothing stand last. */
function inRanks(nodes) {
  const ranks = [];
  const furthest = nodes.reduce((most, { hops }) => Math.max(most, hops ?? -1), -1);
  for (const node of nodes) (ranks[node.hops ?? furthest + 1] ??= []).push(node);
  return ranks.filter(Boolean);
}

function place(ranks, width) {
  const upright = width < 560;
  const most = Math.max(1, ...ranks.map((rank) => rank.length));
  const along = upright ? width : Math.max(240, most * 84);
  const step = upright ? 112 : Math.min(260, width / Math.max(ranks.length, 1));
  const start = upright ? 56 : Math.max(step / 2, (width - step * (ranks.length - 1)) / 2);
  const height = upright ? Math.max(1, ranks.length) * step + 8 : along;
  ranks.forEach((rank, index) => {
    rank.forEach((node, nth) => {
      const across = ((nth + 0.5) / rank.length) * along;
      const depth = start + index * step;
      [node.x, node.y] = upright ? [across, depth] : [depth, across];
      node.room = upright ? along / rank.length : step;
    });
  });
  return { width, height, upright };
}

/** The links of the `nth` tree: those of several trees between the same two relays lie side by side. */
function linksOf({ slug, relays }, at, nth) {
  const aside = (nth % HUES) * 7;
  return relays.flatMap((relay) => {
    const node = at.get(relay.node);
    const feeds = link("feeds", slug, at.get(relay.provider), node, aside);
    const standby = link("standby", slug, at.get(relay.standby), node, aside + 22);
    return [...feeds.map((feed) => ({ ...feed, flow: heard(node) ? flowOf(relay).kind : "unknown" })), ...standby];
  });
}

/** Whether what a node said last still holds. */
function heard({ state }) {
  return state === "up" || state === "draining";
}

/** Where a node hangs off its supernode. */
function primaries(nodes, at) {
  return nodes.flatMap((node) => link("hangs", null, at.get(node.primary_supernode), node, 0));
}

function link(kind, slug, from, to, aside) {
  return from && to ? [{ kind, slug, from, to, aside, id: `${kind} ${slug} ${from.id} ${to.id}` }] : [];
}

/** What a relay spends of its upstream, 0 to 1. */
export function use({ promised_kbps: promised, viewer_kbps: viewers, limit_kbps: limit }) {
  return limit > 0 ? Math.min(1, (promised + viewers) / limit) : 0;
}

/** `name` in at most `room` pixels: its end, by which names of one kind differ. */
export function shortened(name, room) {
  const most = Math.max(2, Math.floor(room / CHARACTER));
  return name.length > most ? `…${name.slice(1 - most)}` : name;
}

/** What people call it: the name it was given, or `host:port` where viewers reach it. */
export function nameOf({ name, media_url: url, id }) {
  if (name) return name;
  try {
    return new URL(url).host;
  } catch {
    return id.slice(0, 8);
  }
}
