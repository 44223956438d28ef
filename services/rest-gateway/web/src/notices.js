/** Notices for the publisher: warnings of the present publish, and why a publisher was refused. */

import { duration } from "./format.js";

/** An older refusal is not shown. */
const REFUSAL_SHOWN_MS = 3600e3;

/** Returns the lines for `stream` at `now` (Unix milliseconds) as `{ kind, text }`, the refusal first. */
export function noticeLines(stream, now) {
  const refusal = stream?.last_refusal;
  const recent = refusal && now - refusal.at < REFUSAL_SHOWN_MS;
  const refused = recent
    ? [{ kind: "refused", text: `A publisher was refused ${duration(now - refusal.at)} ago: ${refusal.detail}` }]
    : [];
  const warned = (stream?.warnings ?? []).map(({ detail }) => ({ kind: "warned", text: detail }));
  return [...refused, ...warned];
}

/** Fills the list in the `details` element `element`, or hides it if there are no notices. */
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
