/** Live pictures of streams. One hidden video decodes the newest keyframes, one picture at a time. */

import { codecs, newestPicture } from "./playlist.js";

const PLAYLIST_BYTES_MAX = 1 << 20;
const PIECE_BYTES_MAX = 8 << 20;
const FETCH_MS = 6000;
const DECODE_MS = 4000;

const video = typeof document === "undefined" ? null : hiddenVideo();
let last = Promise.resolve();

/** Whether this browser can decode thumbnails. */
export const supported = typeof MediaSource !== "undefined";

/** Draws the newest picture of stream `slug` on `canvas`. Several requests are handled one after another. */
export function drawThumbnail(slug, canvas) {
  const turn = last.then(() => draw(slug, canvas));
  last = turn.catch(() => {});
  return turn;
}

async function draw(slug, canvas) {
  const base = `/live/${encodeURIComponent(slug)}`;
  // With this parameter the page is not counted as a viewer of every stream that it lists.
  const playlists = ["index", "media"].map((name) => text(`${base}/${name}.m3u8?thumbnail=1`));
  const [index, media] = await Promise.all(playlists);
  const picture = newestPicture(media.body, media.url);
  const codec = codecs(index.body);
  if (!picture || !codec) throw new Error("no picture yet");
  const pieces = await Promise.all([bytes(picture.init), bytes(picture.piece)]);
  await decode(`video/mp4; codecs="${codec}"`, pieces, () => paint(canvas));
}

async function decode(type, pieces, show) {
  const source = new MediaSource();
  const url = URL.createObjectURL(source);
  const limit = AbortSignal.timeout(DECODE_MS);
  try {
    video.src = url;
    await event(source, "sourceopen", limit);
    const buffer = source.addSourceBuffer(type);
    for (const piece of pieces) {
      buffer.appendBuffer(piece);
      await event(buffer, "updateend", limit);
    }
    source.endOfStream();
    video.currentTime = buffer.buffered.start(0) + 0.001;
    await event(video, "seeked", limit);
    show();
  } finally {
    URL.revokeObjectURL(url);
    video.removeAttribute("src");
    video.load();
  }
}

function paint(canvas) {
  const scale = Math.min(canvas.width / video.videoWidth, canvas.height / video.videoHeight);
  const [width, height] = [video.videoWidth * scale, video.videoHeight * scale];
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(video, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
}

function event(target, name, signal) {
  return new Promise((resolve, reject) => {
    const stop = new AbortController();
    const settle = (finish) => (value) => {
      stop.abort();
      finish(value);
    };
    const once = { signal: stop.signal };
    target.addEventListener(name, settle(resolve), once);
    for (const failing of [target, video]) failing.addEventListener("error", settle(reject), once);
    signal.addEventListener("abort", settle(reject), once);
  });
}

async function text(url) {
  const response = await ask(url, PLAYLIST_BYTES_MAX);
  return { url: response.url, body: await response.text() };
}

async function bytes(url) {
  return (await ask(url, PIECE_BYTES_MAX)).arrayBuffer();
}

async function ask(url, bytesMax) {
  const response = await fetch(url, { signal: AbortSignal.timeout(FETCH_MS) });
  const length = Number(response.headers.get("content-length") ?? 0);
  if (response.ok && length <= bytesMax) return response;
  await response.body?.cancel();
  throw new Error(`${response.status}, ${length} bytes`);
}

function hiddenVideo() {
  const element = document.createElement("video");
  element.muted = true;
  element.playsInline = true;
  return element;
}
