/**
 * Controls the playback rate, so that the viewer stays as close to the live edge as the network allows. Just enough media is kept
 * buffered that playback never stalls. Media arrives in parts, so the minimum of the last second counts.
 */

const WINDOW_MS = 1000;
/** Limits of the reserve, the media that is kept buffered, in seconds. It begins with the minimum. */
const RESERVE_MIN = 0.25;
const RESERVE_MAX = 2;
/** What a stall adds to the reserve, and what a time without stalls removes, in seconds. */
const RESERVE_STEP = 0.2;
const RESERVE_CALM = 0.05;
const CALM_MS = 30_000;
/** Change of the rate for each eighth of a second too much or too little. */
const RATE_STEP = 0.025;
const RATE_MAX = 1.1;
const RATE_MIN = 0.95;

/** The pace of one player. All times are milliseconds of the same clock. */
export class Pace {
  constructor() {
    this.reserve = RESERVE_MIN;
    this.changedAt = 0;
    this.samples = [];
  }

  /** Returns the playback rate at `now`, with `ahead` seconds of media buffered. */
  rate(ahead, now) {
    this.samples = this.samples.filter(({ at }) => now - at < WINDOW_MS);
    this.samples.push({ at: now, ahead });
    if (now - this.changedAt > CALM_MS) this.#setReserve(this.reserve - RESERVE_CALM, now);
    const spare = Math.min(...this.samples.map((sample) => sample.ahead)) - this.reserve;
    return Math.min(RATE_MAX, Math.max(RATE_MIN, 1 + Math.round(spare * 8) * RATE_STEP));
  }

  /** Notes that playback has stalled. More is kept buffered from now on. */
  stalled(now) {
    this.samples = [];
    this.#setReserve(this.reserve + RESERVE_STEP, now);
  }

  #setReserve(seconds, now) {
    this.reserve = Math.min(RESERVE_MAX, Math.max(RESERVE_MIN, seconds));
    this.changedAt = now;
  }
}
