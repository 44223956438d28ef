/**
 * Glass to glass: publishes pictures that carry the time they were made, plays them in the page, and reads the time back from what
 * the browser shows. Prints one JSON line: milliseconds, and how smoothly it played.
 *
 *     node tests/browser/latency.mjs [--astral target/release/astral] [--seconds 20]
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { startBrowser } from "./cdp.mjs";

const WIDTH = 640;
const HEIGHT = 360;
const RATE = 30;
/** The clock: bits of Date.now(), the highest first, as white and black fields of a grid. */
const COLUMNS = 12;
const ROWS = 4;
const BITS = COLUMNS * ROWS;
const START_MS = 30_000;
/** What has not ended by itself after so long is killed. */
const STOP_MS = 3000;
/** Left out at the beginning, while the player settles at its place. */
const SETTLE_SECONDS = 8;

const { values } = parseArgs({
  options: { astral: { type: "string", default: "target/release/astral" }, seconds: { type: "string", default: "20" } },
});
const seconds = Number(values.seconds);
if (!(seconds > 0)) throw new Error(`--seconds ${values.seconds} is not a number above 0`);

const ending = [];
try {
  const { http, rtmp } = await startNetwork(values.astral);
  startPublisher(`rtmp://${rtmp}/live/clock`);
  await streamIsLive(`http://${http}/v1/streams/clock`);
  const browser = await startBrowser();
  ending.push(browser.close);
  const page = await browser.open(`http://${http}/watch/clock`);
  await within("the player to play", page.until("astralPlayer.state === 'playing'"));
  await measure(page, SETTLE_SECONDS);
  console.log(JSON.stringify(summary(await measure(page, seconds))));
} finally {
  for (const end of ending.reverse()) await end();
}

async function startNetwork(program) {
  const doors = ["http", "media", "rtmp", "ops"].flatMap((door) => [`--${door}-listen`, "127.0.0.1:0"]);
  const words = ["up", "--relays", "3", "--log-format", "json", ...doors];
  const network = spawn(program, words, { stdio: ["ignore", "ignore", "pipe"] });
  ending.push(() => stop(network));
  const open = {};
  const opening = new Promise((resolve, reject) => {
    network.on("error", reject);
    network.on("exit", (code) => reject(new Error(`${program} ended with ${code}`)));
    createInterface({ input: network.stderr }).on("line", (line) => {
      const { message, door, address } = JSON.parse(line);
      if (message === "listening") open[door] ??= address;
      if (open.http && open.rtmp) resolve(open);
    });
  });
  return within("the network to start", opening);
}

function startPublisher(url) {
  const raw = `-f rawvideo -pix_fmt yuv420p -video_size ${WIDTH}x${HEIGHT} -framerate ${RATE} -i pipe:0 -f lavfi -i sine`;
  const encode = `-c:v libx264 -preset ultrafast -tune zerolatency -g ${RATE} -c:a aac -f flv`;
  const words = `-hide_banner -loglevel error ${raw} ${encode}`.split(" ");
  const ffmpeg = spawn("ffmpeg", [...words, url], { stdio: ["pipe", "ignore", "inherit"] });
  const begin = performance.now();
  let count = 0;
  const timer = setInterval(() => {
    while ((count * 1000) / RATE <= performance.now() - begin) {
      ffmpeg.stdin.write(picture(Date.now()));
      count += 1;
    }
  }, 2);
  ffmpeg.stdin.on("error", () => clearInterval(timer));
  ending.push(() => {
    clearInterval(timer);
    ffmpeg.stdin.destroy();
    return stop(ffmpeg);
  });
}

/** A picture in yuv420p that shows `now`. */
function picture(now) {
  const bytes = Buffer.alloc((WIDTH * HEIGHT * 3) / 2, 128);
  const bits = now.toString(2).padStart(BITS, "0");
  for (let row = 0; row < ROWS; row += 1) {
    const line = Buffer.alloc(WIDTH);
    for (let x = 0; x < WIDTH; x += 1) line[x] = bits[row * COLUMNS + Math.floor((x * COLUMNS) / WIDTH)] === "1" ? 235 : 16;
    for (let y = (row * HEIGHT) / ROWS; y < ((row + 1) * HEIGHT) / ROWS; y += 1) line.copy(bytes, y * WIDTH);
  }
  return bytes;
}

async function streamIsLive(url) {
  const asking = async () => {
    while ((await fetch(url).then((answer) => answer.json())).state !== "live") await new Promise((again) => setTimeout(again, 100));
  };
  await within("the stream to be live", asking());
}

/** Watches every picture shown for so long: when it was made, how old it was. */
function measure(page, forSeconds) {
  const watching = watch.toString();
  return page.evaluate(`(${watching})(${forSeconds * 1000}, ${COLUMNS}, ${ROWS})`);
}

/** Runs in the page. */
async function watch(ms, columns, rows) {
  const video = document.querySelector("video");
  const canvas = new OffscreenCanvas(columns, rows);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  const ages = [];
  const gaps = [];
  let stalls = 0;
  let previous = null;
  video.addEventListener("waiting", () => (stalls += 1));
  const end = performance.now() + ms;
  const look = (shown) => {
    const now = Date.now() + (shown - performance.now());
    context.drawImage(video, 0, 0, columns, rows);
    const { data } = context.getImageData(0, 0, columns, rows);
    let made = 0;
    for (let at = 0; at < data.length; at += 4) made = made * 2 + (data[at] > 127 ? 1 : 0);
    ages.push(now - made);
    if (previous !== null) gaps.push(shown - previous);
    previous = shown;
    if (performance.now() < end) video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  await new Promise((resolve) => setTimeout(resolve, ms));
  const { fatalErrors, pace } = window.astralPlayer;
  return { ages, gaps, stalls, fatalErrors, reserve: pace.reserve * 1000 };
}

function summary({ ages, gaps, stalls, fatalErrors, reserve }) {
  const round = (value) => Math.round(value);
  return {
    glass_to_glass_ms: { p50: round(quantile(ages, 0.5)), p99: round(quantile(ages, 0.99)), max: round(Math.max(...ages)) },
    pictures_per_second: round(ages.length / seconds),
    longest_still_ms: round(Math.max(...gaps)),
    stalls,
    fatal_errors: fatalErrors,
    kept_ahead_ms: round(reserve),
  };
}

function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

function within(what, promise) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`waited ${START_MS} ms in vain for ${what}`)), START_MS).unref();
  });
  return Promise.race([promise, late]);
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill();
  const force = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await gone;
  clearTimeout(force);
}
