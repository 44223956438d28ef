/** How a stream comes to a relay, by what the tree says. */

import { duration } from "./format.js";

/** A relay to which nothing has come for this long waits for something. */
const SILENT_MS = 2000;
/** Heartbeats come every 2 s and say how it was then: what is less than that is no lag. */
const BEHIND_MS = 2000;

/** From the best to the worst. */
const KINDS = ["flows", "quiet", "behind", "cut"];

/**
 * `{ kind, text }` of a relay in a tree: it `flows`; or it is `quiet`, as its publisher sends nothing; or the relay is `behind`
 * its origin; or it is `cut` off from it. The text is empty while it flows.
 */
export function flowOf({ provider, silent_ms: silent, behind_ms: behind }) {
  const waits = silent >= SILENT_MS;
  if (waits && provider === null) return { kind: "quiet", text: `nothing from its publisher for ${duration(silent)}` };
  if (waits && behind === 0) return { kind: "quiet", text: "waits for the publisher" };
  if (waits) return { kind: "cut", text: `receives nothing for ${duration(silent)}` };
  if (behind >= BEHIND_MS) return { kind: "behind", text: `${(behind / 1000).toFixed(1)} s behind` };
  return { kind: "flows", text: "" };
}

/** The worst of the kinds of `flows`. */
export function worstOf(flows) {
  return KINDS[Math.max(0, ...flows.map(({ kind }) => KINDS.indexOf(kind)))];
}

/** How a node fares in words: `flows` are those of its streams, each with its slug. */
export function stateOf(state, flows) {
  if (state !== "up") return state;
  const troubles = flows.filter(({ text }) => text);
  const said = troubles.map(({ slug, text }) => (flows.length > 1 ? `${slug}: ${text}` : text));
  return said.join("; ") || "up";
}
