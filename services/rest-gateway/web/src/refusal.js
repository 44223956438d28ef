/** Temporary refusals: why the network refuses a viewer, and for how long. */

/** Temporary problems. A player must not retry before the time that comes with them: that would only add to the load. */
const PASSING = ["full", "control_plane_away", "not_begun"];
/** Used if an answer has no valid time. */
const SECONDS_USUAL = 5;
const SECONDS_MAX = 60;
/** Viewers that were refused together return at random times within this share of their waiting time. */
const SPREAD = 0.3;

/**
 * Returns the refusal in an answer to a request for media as `{ code, ms }`, or null if it is another answer. `retryAfter` is that
 * header field, `body` the problem document as text, and `random` is in [0, 1).
 */
export function refusalIn(status, retryAfter, body, random = Math.random()) {
  if (status !== 503) return null;
  const code = codeIn(body);
  if (!PASSING.includes(code)) return null;
  const told = Number.parseInt(retryAfter, 10);
  const seconds = told > 0 ? Math.min(told, SECONDS_MAX) : SECONDS_USUAL;
  return { code, ms: Math.round(seconds * 1000 * (1 + SPREAD * random)) };
}

function codeIn(body) {
  try {
    return JSON.parse(body).code;
  } catch {
    return undefined;
  }
}

/** Returns the body of the answered request `xhr` as text. */
export function textOf(xhr) {
  const { response } = xhr;
  return response instanceof ArrayBuffer ? new TextDecoder().decode(response) : String(response ?? "");
}
