/** The status line below the player. */

import { bitrate, delay } from "./format.js";

/**
 * Returns what to tell the viewer, as `{kind, text}`. `state` is the state of the stream: null if there is no such stream, undefined
 * while it is not known. `player` is the state of the player, and `refusal` says why it was refused, if it was.
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
  return `the network is unreachable right now, ${again}`;
}
