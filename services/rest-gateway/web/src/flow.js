/** How well a stream arrives at a relay, by its tree. */

import { duration } from "./format.js";

/** A relay that has received nothing for this long is waiting. */
const SILENT_MS = 2000;
/** Heartbeats come every 2 s, so a smaller lag is not visible. */
const BEHIND_MS = 2000;

/** From best to worst. */
const KINDS = ["flows", "quiet", "behind", "cut"];

/**
 * Returns `{ kind, text }` for a relay in a tree. The stream `flows`, or is `quiet` because its publisher sends nothing, or the relay
 * is `behind` its origin, or `cut` off from it. The text is empty while the stream flows.
 */
export function flowOf({ provider, silent_ms: silent, behind_ms: behind }) {
  const waits = silent >= SILENT_MS;
  if (waits && provider === null) return { kind: "quiet", text: `nothing from its publisher for ${duration(silent)}` };
  if (waits && behind === 0) return { kind: "quiet", text: "waits for the publisher" };
  if (waits) return { kind: "cut", text: `receives nothing for ${duration(silent)}` };
  if (behind >= BEHIND_MS) return { kind: "behind", text: `${(behind / 1000).toFixed(1)} s behind` };
  return { kind: "flows", text: "" };
}

/** Returns the worst kind in `flows`. */
export function worstOf(flows) {
  return KINDS[Math.max(0, ...flows.map(({ kind }) => KINDS.indexOf(kind)))];
}

/** Describes the state of a node in words. `flows` are those of its streams, each with its slug. */
export function stateOf(state, flows) {
  if (state !== "up") return state;
  const troubles = flows.filter(({ text }) => text);
  const said = troubles.map(({ slug, text }) => (flows.length > 1 ? `${slug}: ${text}` : text));
  return said.join("; ") || "up";
}
