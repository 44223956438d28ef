import assert from "node:assert/strict";
import test from "node:test";
import { backoff } from "../src/backoff.js";
import { bitrate, delay, duration, plural, viewers } from "../src/format.js";
import { noticeLines } from "../src/notices.js";
import { recipes, slugFrom } from "../src/publish.js";
import { statusLine } from "../src/status.js";

test("numbers are formatted for people", () => {
  assert.equal(bitrate(2512), "2.5 Mbit/s");
  assert.equal(bitrate(1e6), "1.0 Gbit/s");
  assert.equal(bitrate(640), "640 kbit/s");
  assert.equal(bitrate(0), "");
  assert.deepEqual([12e3, 180e3, 3840e3, 183600e3].map(duration), ["12 s", "3 min", "1 h 04 min", "2 d 3 h"]);
  assert.equal(duration(-5), "0 s");
  assert.equal(viewers({ flv: 1, rtmp: 0, hls: 2 }), "3 viewers");
  assert.equal(viewers(), "no viewers");
  assert.equal(plural(1, "relay"), "1 relay");
  assert.equal(delay(0.94), "0.9 s behind");
  assert.equal(delay(NaN), "");
});

test("waiting times double from half a second to eight, and are randomized", () => {
  assert.deepEqual([0, 1, 4, 50].map((attempt) => backoff(attempt, 1)), [500, 1000, 8000, 8000]);
  assert.equal(backoff(0, 0), 250);
});

test("any input becomes a stream name", () => {
  assert.equal(slugFrom("  My show, live! "), "My-show-live-");
  assert.equal(slugFrom("x".repeat(80)).length, 64);
  assert.equal(slugFrom("$HOME; rm"), "-HOME-rm");
});

test("the ffmpeg command publishes to the named stream", () => {
  const { ffmpeg, key } = recipes("rtmp://host:1935/live", "demo");
  assert.equal(key, "demo");
  assert.match(ffmpeg, /^ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=30 .* -f flv rtmp:\/\/host:1935\/live\/demo$/);
  assert.deepEqual(recipes(null, "demo"), { server: "", key: "demo", ffmpeg: "" });
});

test("the page tells a publisher what was refused and what to change", () => {
  const now = 1_700_000_000_000;
  const refusal = { reason: "conflict", detail: "stream \"demo\" has a publisher already", at: now - 12e3 };
  const warnings = [{ reason: "open_gop", detail: "keyframes are not IDR pictures", at: now }];
  assert.deepEqual(noticeLines({ warnings, last_refusal: refusal }, now), [
    { kind: "refused", text: 'A publisher was refused 12 s ago: stream "demo" has a publisher already' },
    { kind: "warned", text: "keyframes are not IDR pictures" },
  ]);
  assert.deepEqual(noticeLines({ warnings: [], last_refusal: { ...refusal, at: now - 3601e3 } }, now), []);
  assert.deepEqual(noticeLines(null, now), []);
});

test("the status line says what the viewer waits for", () => {
  const live = { slug: "demo", state: "live", player: "playing", latency: 0.9, kbps: 2500, relay: "host:8081" };
  const cases = [
    [{}, "live", "live · 0.9 s behind · 2.5 Mbit/s · relay host:8081"],
    [{ latency: NaN, kbps: 0, relay: "" }, "live", "live"],
    [{ player: "broken" }, "away", "reconnecting…"],
    [{ player: "refused", refusal: { code: "full", seconds: 4 } }, "away", "all relays are full right now, trying again in 4 s…"],
    [{ player: "starting", refusal: { code: "full", seconds: 0 } }, "away", "all relays are full right now, trying again…"],
    [{ player: "playing", refusal: { code: "full", seconds: 4 }, latency: NaN, kbps: 0, relay: "" }, "live", "live"],
    [{ player: "refused", refusal: { code: "control_plane_away", seconds: 9 } }, "away", "the network is unreachable right now, trying again in 9 s…"],
    [{ player: "refused", refusal: { code: "not_begun", seconds: 2 }, state: undefined }, "away", "demo is not on air yet, trying again in 2 s…"],
    [{ player: "refused", refusal: { code: "full", seconds: 4 }, state: "grace" }, "away", "the publisher is away, waiting…"],
    [{ state: "grace", player: "broken" }, "away", "the publisher is away, waiting…"],
    [{ state: "ended" }, "over", "this stream has ended"],
    [{ state: null }, "over", "there is no stream called demo yet, waiting…"],
    [{ state: undefined, player: "starting" }, "away", "connecting…"],
  ];
  for (const [change, kind, text] of cases) assert.deepEqual(statusLine({ ...live, ...change }), { kind, text });
});
