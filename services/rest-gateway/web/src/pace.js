/**
 * How fast to play, so that the viewer stays as close to the live edge as the network allows: just enough media is kept ahead of
 * the picture that it never waits. Media arrives in parts, so what counts is the least that was ahead in the last second.
 */

const WINDOW_MS = 1000;
/** Seconds kept ahead at first, and after a long time without a stall. */
const RESERVE_MIN = 0.25;
const RESERVE_MAX = 2;
/** What a stall adds to the reserve, and what a calm while takes away, in seconds. */
const RESERVE_STEP = 0.2;
const RESERVE_CALM = 0.05;
const CALM_MS = 30_000;
/** The rate changes by this for each eighth of a second too much or too little; half of that much is left alone. */
const RATE_STEP = 0.025;
const RATE_MAX = 1.1;
const RATE_MIN = 0.95;

/** The pace of one player. Times are milliseconds of one clock. */
export class Pace {
  constructor() {
    this.reserve = RESERVE_MIN;
    this.changedAt = 0;
    this.samples = [];
  }

  /** The rate to play at from `now`, when `ahead` seconds of media are buffered beyond the picture. */
  rate(ahead, now) {
    this.samples = this.samples.filter(({ at }) => now - at < WINDOW_MS);
    this.samples.push({ at: now, ahead });
    if (now - this.changedAt > CALM_MS) this.#setReserve(this.reserve - RESERVE_CALM, now);
    const spare = Math.min(...this.samples.map((sample) => sample.ahead)) - this.reserve;
    return Math.min(RATE_MAX, Math.max(RATE_MIN, 1 + Math.round(spare * 8) * RATE_STEP));
  }

  /** The picture has had to wait for media: more is kept ahead from now on. */
  stalled(now) {
    this.samples = [];
    this.#setReserve(this.reserve + RESERVE_STEP, now);
  }

  #setReserve(seconds, now) {
    this.reserve = Math.min(RESERVE_MAX, Math.max(RESERVE_MIN, seconds));
    this.changedAt = now;
  }
}
