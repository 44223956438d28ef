/** Waits between attempts: 0.5 s doubled up to 8 s, spread by half so that many players do not come back at once. */

const FIRST_MS = 500;
const CAP_MS = 8000;

/** Milliseconds to wait before attempt number `attempt`, counted from 0; `random` is in [0, 1). */
export function backoff(attempt, random = Math.random()) {
  const full = Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(full * (0.5 + random / 2));
}
