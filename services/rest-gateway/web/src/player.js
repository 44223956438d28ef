/** Plays one stream and rides through whatever breaks: it gives up only when it is told to stop. */

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
 * Further behind the live edge than this, the player jumps there; below, it catches up by playing faster, so that a publisher whose
 * connection stood still for some seconds costs the viewer no picture.
 */
const BEHIND_SECONDS_MAX = 6;
/** A request that got no answer for so long speaks against its relay, even if it was only called off. */
const SILENT_MS = 1500;

/** How hls.js is set up. It repeats a request that failed as long as `mayRetry()` says so. */
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
    // Ours is the pace: hls.js catches up only while a second or more is buffered, and falls back a second at each stall.
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
    /** Why it was last turned away and when it asks again; null once it plays. */
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

  /** Seconds between the newest media and what is shown; NaN where the browser plays HLS itself. */
  get latency() {
    return this.hls ? this.hls.latency : NaN;
  }

  /** Why it was turned away, and in how many seconds it asks again: `{ code, seconds }`; null while nothing was refused. */
  get refusal() {
    if (this.refused === null) return null;
    const { code, until } = this.refused;
    return { code, seconds: Math.max(0, Math.ceil((until - performance.now()) / 1000)) };
  }

  /** Whether media should arrive now: while it should not, the last picture stays and nothing is started over. */
  expect(live) {
    if (live && !this.expected) this.moved.at = performance.now();
    this.expected = live;
  }

  /** Starts over at the gateway. */
  restart() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.route.relay = null;
    this.moved.at = performance.now();
    if (this.hls) this.hls.loadSource(this.url);
    else this.#loadWithoutHls();
    this.play();
  }

  /** Jumps to the newest moment. */
  goLive() {
    const edge = this.hls ? this.hls.liveSyncPosition : this.video.seekable.length && this.video.seekable.end(0);
    if (edge) this.video.currentTime = edge;
    this.play();
  }

  /** Plays if the browser lets us. */
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

  /** A browser that plays HLS itself does not say why it cannot: the playlist is asked for once more to hear it. */
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
    // Before hls.js sees the answer and decides whether to repeat the request.
    xhr.addEventListener("readystatechange", () => {
      if (xhr.readyState !== XMLHttpRequest.DONE || xhr.status !== 503) return;
      const refusal = refusalIn(xhr.status, xhr.getResponseHeader("retry-after"), textOf(xhr));
      if (refusal) this.#turnedAway(refusal);
    });
    xhr.addEventListener("load", () => {
      // Only who was sent on elsewhere has something to learn: an answer that comes late must not undo a later move.
      if (xhr.status < 400 && xhr.responseURL !== url) this.route.learn(xhr.responseURL);
      else if (xhr.status >= 500) this.#lost(url, `${xhr.status}`);
    });
    xhr.addEventListener("error", () => this.#lost(url, "no connection"));
    xhr.addEventListener("abort", () => performance.now() - since > SILENT_MS && this.#lost(url, "no answer"));
  }

  #mustWait() {
    return this.refused !== null && performance.now() < this.refused.until;
  }

  /** Asks again once the time that it was told has passed, and not before. */
  #turnedAway({ code, ms }) {
    this.#note("refused", `${code}, again in ${ms} ms`);
    this.refused = { code, until: performance.now() + ms };
    clearTimeout(this.timer);
    this.timer = 0;
    this.#later(() => this.restart(), ms);
    this.#set("refused");
  }

  /** What is buffered plays on after a refusal, which is over only when it may ask again. */
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
    // What the browser's buffer does not take, such as a track that was not there before, it would not take again.
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

  /** A picture that stands still although the viewer wants to see it: say so, and start over when it lasts. */
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

  /** The picture moves again. A short wait was the network's unsteadiness, against which the pace helps; a long one was an outage. */
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
