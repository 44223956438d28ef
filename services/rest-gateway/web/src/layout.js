/** Places each relay in the picture: by its distance from the origin, next to its provider. */

import { flowOf, worstOf } from "./flow.js";

const NODES_MAX = 120;
/** Width of a character of a name, in pixels. */
const CHARACTER = 8;

/** Number of colours. Streams get them in order of their names, and share them if there are more. */
export const HUES = 6;

/**
 * Returns the layout of `topology` for `width` pixels as `{nodes, links, width, height, upright, left}`. `shown` are the slugs whose
 * trees are drawn. If there is no room for columns, distance grows downwards.
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

/** Sorts nodes: those that carry streams, then supernodes, then the rest. */
function byWeight(one, other) {
  const weight = ({ carries, role }) => (carries.length > 0 ? 0 : role === "supernode" ? 1 : 2);
  return weight(one) - weight(other) || (one.hops ?? 0) - (other.hops ?? 0) || (one.id < other.id ? -1 : 1);
}

/** Groups nodes by distance. Those that carry nothing are last. */
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

/** Returns the links of the `nth` tree. Links of several trees between the same two relays lie side by side. */
function linksOf({ slug, relays }, at, nth) {
  const aside = (nth % HUES) * 7;
  return relays.flatMap((relay) => {
    const node = at.get(relay.node);
    const feeds = link("feeds", slug, at.get(relay.provider), node, aside);
    const standby = link("standby", slug, at.get(relay.standby), node, aside + 22);
    return [...feeds.map((feed) => ({ ...feed, flow: heard(node) ? flowOf(relay).kind : "unknown" })), ...standby];
  });
}

/** Returns whether the last report of a node is still valid. */
function heard({ state }) {
  return state === "up" || state === "draining";
}

/** Returns the line from a node to its primary supernode. */
function primaries(nodes, at) {
  return nodes.flatMap((node) => link("hangs", null, at.get(node.primary_supernode), node, 0));
}

function link(kind, slug, from, to, aside) {
  return from && to ? [{ kind, slug, from, to, aside, id: `${kind} ${slug} ${from.id} ${to.id}` }] : [];
}

/** Returns the share of its upstream that a relay uses, 0 to 1. */
export function use({ promised_kbps: promised, viewer_kbps: viewers, limit_kbps: limit }) {
  return limit > 0 ? Math.min(1, (promised + viewers) / limit) : 0;
}

/** Shortens `name` to `room` pixels. The end is kept, because similar names differ there. */
export function shortened(name, room) {
  const most = Math.max(2, Math.floor(room / CHARACTER));
  return name.length > most ? `…${name.slice(1 - most)}` : name;
}

/** Returns the name of a node, or `host:port` where viewers reach it. */
export function nameOf({ name, media_url: url, id }) {
  if (name) return name;
  try {
    return new URL(url).host;
  } catch {
    return id.slice(0, 8);
  }
}
