/** What whoever runs the encoder should know: warnings of the present publish, and why a publisher was turned away. */

import { duration } from "./format.js";

/** A refusal older than this is history. */
const REFUSAL_SHOWN_MS = 3600e3;

/** The lines to show for `stream` at `now`, Unix milliseconds: `{ kind, text }`, the refusal first. */
export function noticeLines(stream, now) {
  const refusal = stream?.last_refusal;
  const recent = refusal && now - refusal.at < REFUSAL_SHOWN_MS;
  const refused = recent
    ? [{ kind: "refused", text: `A publisher was turned away ${duration(now - refusal.at)} ago: ${refusal.detail}` }]
    : [];
  const warned = (stream?.warnings ?? []).map(({ detail }) => ({ kind: "warned", text: detail }));
  return [...refused, ...warned];
}

/** Fills `element`, a closed `details` with a list in it, and hides it while there is nothing to tell. */
export function showNotices(element, stream, now) {
  const lines = noticeLines(stream, now);
  element.hidden = lines.length === 0;
  const items = lines.map(({ kind, text }) => {
    const item = document.createElement("li");
    item.dataset.kind = kind;
    item.textContent = text;
    return item;
  });
  element.querySelector("ul").replaceChildren(...items);
}
