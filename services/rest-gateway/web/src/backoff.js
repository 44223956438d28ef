/** Waiting times between attempts: 0.5 s, doubled up to 8 s. They are randomized so that players do not all return at once. */

const FIRST_MS = 500;
const CAP_MS = 8000;

/** Returns the milliseconds to wait before attempt `attempt`, counted from 0; `random` is in [0, 1). */
export function backoff(attempt, random = Math.random()) {
  const full = Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(full * (0.5 + random / 2));
}
