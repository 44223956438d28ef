/** The line under the player. */

import { bitrate, delay } from "./format.js";

/**
 * What to tell the viewer, as `{kind, text}`.
 * `state` is the stream's state, null if there is no such stream, undefined while not known; `player` is how the player fares,
 * and `refusal` why it was turned away, if it was.
 */
export function statusLine({ slug, state, player, refusal, latency, kbps, relay }) {
  if (state === "ended") return { kind: "over", text: "this stream has ended" };
  if (state === "paused") return { kind: "over", text: "this stream is paused" };
  if (state === "grace") return { kind: "away", text: "the publisher is away, waiting…" };
  if (state === null) return { kind: "over", text: `there is no stream called ${slug} yet, waiting…` };
  if (state === "idle") return { kind: "over", text: `${slug} is not on air yet, waiting…` };
  if (refusal && player !== "playing") return { kind: "away", text: refusalText(slug, refusal) };
  if (player === "broken") return { kind: "away", text: "reconnecting…" };
  if (player === "starting") return { kind: "away", text: "connecting…" };
  const facts = ["live", delay(latency), bitrate(kbps), relay && `relay ${relay}`];
  return { kind: "live", text: facts.filter(Boolean).join(" · ") };
}

function refusalText(slug, { code, seconds }) {
  const again = seconds > 0 ? `trying again in ${seconds} s…` : "trying again…";
  if (code === "full") return `all relays are full right now, ${again}`;
  if (code === "not_begun") return `${slug} is not on air yet, ${again}`;
  return `the network cannot be asked right now, ${again}`;
}
