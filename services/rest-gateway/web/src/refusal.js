/** What the network says when it turns a viewer away for a while, and for how long. */

/** Problems that pass. Who asks again before the time that is told with them only adds to the load. */
const PASSING = ["full", "control_plane_away", "not_begun"];
/** Where an answer tells no time, or one that cannot be read. */
const SECONDS_USUAL = 5;
const SECONDS_MAX = 60;
/** Viewers that were turned away together come back spread over this share of the time they were told. */
const SPREAD = 0.3;

/**
 * The refusal in an answer to a request for media: `{ code, ms }`, or null if it is another answer. `retryAfter` is the field
 * of that name, `body` the problem document as text, `random` in [0, 1).
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

/** The body of the request `xhr`, which has been answered, as text. */
export function textOf(xhr) {
  const { response } = xhr;
  return response instanceof ArrayBuffer ? new TextDecoder().decode(response) : String(response ?? "");
}
