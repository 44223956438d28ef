/** The line under the player. */

import { bitrate, delay } from "./format.js";

/**
 * What to tell the viewer, as `{kind, text}`.
 * `state` is the stream's state, null if there is no such stream, undefined while not known; `player` is how the player fares.
 */
export function statusLine({ slug, state, player, latency, kbps, relay }) {
  if (state === "ended") return { kind: "over", text: "this stream has ended" };
  if (state === "paused") return { kind: "over", text: "this stream is paused" };
  if (state === "grace") return { kind: "away", text: "the publisher is away, waiting…" };
  if (state === null) return { kind: "over", text: `there is no stream called ${slug} yet, waiting…` };
  if (state === "idle") return { kind: "over", text: `${slug} is not on air yet, waiting…` };
  if (player === "broken") return { kind: "away", text: "reconnecting…" };
  if (player === "starting") return { kind: "away", text: "connecting…" };
  const facts = ["live", delay(latency), bitrate(kbps), relay && `relay ${relay}`];
  return { kind: "live", text: facts.filter(Boolean).join(" · ") };
}
