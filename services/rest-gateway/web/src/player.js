/** Plays one stream and recovers from every failure. It never gives up. */

import Hls from "hls.js/light";
import { backoff } from "./backoff.js";
import { Pace } from "./pace.js";
import { refusalIn, textOf } from "./refusal.js";
import { Route } from "./route.js";

const EVENTS_MAX = 200;
const STILL_MS = 1500;
const STALL_MS = 8000;
const LOOK_MS = 1000;
const PACE_MS = 100;
/**
 * If the player is further behind the live edge than this, it jumps there. Otherwise it catches up by playing faster, so that viewers
 * miss nothing when the connection of a publisher stalls for some seconds.
 */
const BEHIND_SECONDS_MAX = 6;
/** If a request without an answer is aborted after this long, its relay counts as lost. */
const SILENT_MS = 1500;

/** Returns the configuration of hls.js. A failed request is repeated while `mayRetry()` is true. */
function config(mayRetry) {
  const shouldRetry = (failed, count, timedOut, response) =>
    mayRetry() && count < failed.maxNumRetry && (timedOut || !response?.code || response.code >= 500);
  const errorRetry = { maxNumRetry: 20, retryDelayMs: 200, maxRetryDelayMs: 1000, shouldRetry };
  const timeoutRetry = { maxNumRetry: 10, retryDelayMs: 0, maxRetryDelayMs: 0 };
  const policy = (maxTimeToFirstByteMs, maxLoadTimeMs) => ({
    default: { maxTimeToFirstByteMs, maxLoadTimeMs, timeoutRetry, errorRetry },
  });
  return {
    lowLatencyMode: true,
    // `Pace` controls the rate. hls.js would catch up only with more than a second buffered, and fall back a second at each stall.
    maxLiveSyncPlaybackRate: 1,
    liveSyncOnStallIncrease: 0,
    backBufferLength: 20,
    maxBufferLength: 20,
    manifestLoadPolicy: policy(7000, 8000),
    playlistLoadPolicy: policy(2000, 6000),
    fragLoadPolicy: policy(3000, 12000),
  };
}

/**
 * Plays stream `slug` in `video`, at the relay `prefer` (host:port) if it has room. `onChange` is called when `state` changes:
 * `starting`, `playing`, `broken`, or `refused` while it waits until it may ask again.
 */
export class Player {
  constructor(slug, video, onChange, prefer = null) {
    const query = prefer ? `?prefer=${encodeURI(prefer)}` : "";
    this.url = new URL(`/live/${slug}/index.m3u8${query}`, location.href).href;
    this.route = new Route(slug, location.origin);
    this.video = video;
    this.onChange = onChange;
    this.state = "starting";
    this.events = [];
    this.fatalErrors = 0;
    this.attempt = 0;
    this.expected = true;
    this.timer = 0;
    /** Why it was last refused, and when it tries again; null once it plays. */
    this.refused = null;
    this.moved = { at: performance.now(), time: 0 };
    this.hls = Hls.isSupported() ? this.#hls() : null;
    video.addEventListener("playing", () => this.#plays());
    video.addEventListener("timeupdate", () => (this.attempt = 0));
    if (!this.hls) video.addEventListener("error", () => this.#later(() => this.restart(), backoff(this.attempt)));
    this.pace = new Pace();
    this.waitingSince = null;
    video.addEventListener("waiting", () => this.#waits());
    video.addEventListener("playing", () => this.#waited());
    this.restart();
    setInterval(() => this.#look(), LOOK_MS);
    if (this.hls) setInterval(() => this.#keepPace(), PACE_MS);
  }

  /** Seconds between the newest media and the picture; NaN if the browser plays HLS itself. */
  get latency() {
    return this.hls ? this.hls.latency : NaN;
  }

  /** Why it was refused, and in how many seconds it tries again: `{ code, seconds }`; null if it was not refused. */
  get refusal() {
    if (this.refused === null) return null;
    const { code, until } = this.refused;
    return { code, seconds: Math.max(0, Math.ceil((until - performance.now()) / 1000)) };
  }

  /** Sets whether media should arrive now. While it should not, the last picture stays and nothing is restarted. */
  expect(live) {
    if (live && !this.expected) this.moved.at = performance.now();
    this.expected = live;
  }

  /** Starts again at the gateway. */
  restart() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.route.relay = null;
    this.moved.at = performance.now();
    if (this.hls) this.hls.loadSource(this.url);
    else this.#loadWithoutHls();
    this.play();
  }

  /** Jumps to the live edge. */
  goLive() {
    const edge = this.hls ? this.hls.liveSyncPosition : this.video.seekable.length && this.video.seekable.end(0);
    if (edge) this.video.currentTime = edge;
    this.play();
  }

  /** Plays if the browser allows it. */
  play() {
    this.video.play().catch(() => {});
  }

  #hls() {
    const setup = config(() => !this.#mustWait());
    const hls = new Hls({ ...setup, xhrSetup: (xhr, url) => this.#open(xhr, url) });
    hls.on(Hls.Events.ERROR, (_, data) => this.#failed(data));
    hls.attachMedia(this.video);
    return hls;
  }

  /** A browser that plays HLS itself does not report why it fails, so the playlist is requested here once more. */
  async #loadWithoutHls() {
    const answer = await fetch(this.url).catch(() => null);
    const refusal = answer && refusalIn(answer.status, answer.headers.get("retry-after"), await answer.text());
    if (refusal) this.#turnedAway(refusal);
    else this.video.src = this.url;
  }

  #open(xhr, wanted) {
    const url = this.route.resolve(wanted);
    const since = performance.now();
    xhr.open("GET", url, true);
    // This runs before hls.js sees the answer and decides whether to repeat the request.
    xhr.addEventListener("readystatechange", () => {
      if (xhr.readyState !== XMLHttpRequest.DONE || xhr.status !== 503) return;
      const refusal = refusalIn(xhr.status, xhr.getResponseHeader("retry-after"), textOf(xhr));
      if (refusal) this.#turnedAway(refusal);
    });
    xhr.addEventListener("load", () => {
      // Only a redirect names a new relay. A late answer of the old relay must not undo a later move.
      if (xhr.status < 400 && xhr.responseURL !== url) this.route.learn(xhr.responseURL);
      else if (xhr.status >= 500) this.#lost(url, `${xhr.status}`);
    });
    xhr.addEventListener("error", () => this.#lost(url, "no connection"));
    xhr.addEventListener("abort", () => performance.now() - since > SILENT_MS && this.#lost(url, "no answer"));
  }

  #mustWait() {
    return this.refused !== null && performance.now() < this.refused.until;
  }

  /** Waits for the stated time and then tries again. */
  #turnedAway({ code, ms }) {
    this.#note("refused", `${code}, again in ${ms} ms`);
    this.refused = { code, until: performance.now() + ms };
    clearTimeout(this.timer);
    this.timer = 0;
    this.#later(() => this.restart(), ms);
    this.#set("refused");
  }

  /** The buffer may still play after a refusal, so playing ends a refusal only when the player may try again. */
  #plays() {
    if (!this.#mustWait()) this.refused = null;
    this.#set("playing");
  }

  #lost(url, why) {
    this.route.lose(url);
    this.#note("lost", `${why}: ${url}`);
  }

  #failed(data) {
    this.#note(data.fatal ? "fatal" : "error", data.details);
    if (!data.fatal || this.#mustWait()) return;
    this.fatalErrors += 1;
    this.#set("broken");
    this.#later(() => this.#recover(data), backoff(this.attempt));
  }

  #recover({ type, details }) {
    this.play();
    // The buffer rejects, for example, an additional track. It would reject it again, so the player starts again.
    const isRefused = details === Hls.ErrorDetails.BUFFER_APPEND_ERROR;
    if (isRefused) this.restart();
    else if (type === Hls.ErrorTypes.MEDIA_ERROR && this.attempt < 2) this.hls.recoverMediaError();
    else if (type === Hls.ErrorTypes.NETWORK_ERROR && this.hls.latestLevelDetails && this.attempt < 3) this.hls.startLoad(-1);
    else this.restart();
  }

  #later(step, ms) {
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      if (this.expected) step();
      else this.#later(step, backoff(this.attempt));
    }, ms);
    this.attempt += 1;
  }

  /** Detects a picture that stands still although it should move. Starts again if that lasts. */
  #look() {
    const { video } = this;
    const now = performance.now();
    const moves = video.currentTime !== this.moved.time;
    if (moves || video.paused || !this.expected) this.moved = { at: now, time: video.currentTime };
    if (moves && !video.paused) this.#plays();
    if (moves && this.hls?.latency > BEHIND_SECONDS_MAX) this.goLive();
    const still = now - this.moved.at;
    if (still > STILL_MS && this.state === "playing") this.#set("broken");
    if (still > STALL_MS) this.#stalled();
  }

  #waits() {
    if (this.state === "playing" && !this.video.seeking) this.waitingSince ??= performance.now();
  }

  /** The picture moves again. A short wait was jitter, against which a larger reserve helps. A long one was an outage. */
  #waited() {
    const now = performance.now();
    if (this.waitingSince !== null && now - this.waitingSince < STILL_MS) this.pace.stalled(now);
    this.waitingSince = null;
  }

  #keepPace() {
    const { video } = this;
    const { buffered } = video;
    if (video.paused || video.seeking || buffered.length === 0) return;
    const rate = this.pace.rate(buffered.end(buffered.length - 1) - video.currentTime, performance.now());
    if (video.playbackRate !== rate) video.playbackRate = rate;
  }

  #stalled() {
    this.moved.at = performance.now();
    if (this.#mustWait()) return;
    this.#note("stalled", `${this.video.currentTime}`);
    this.#later(() => this.restart(), backoff(this.attempt));
  }

  #set(state) {
    if (this.state === state) return;
    this.state = state;
    this.#note("state", state);
    this.onChange();
  }

  #note(kind, detail) {
    this.events.push({ at: Date.now(), kind, detail });
    if (this.events.length > EVENTS_MAX) this.events.shift();
  }
}
