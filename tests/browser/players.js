/** Runs in a page of the gateway, after hls.js and Shaka: plays streams in all players side by side, and counts what each shows. */

const LOOK_MS = 50;
/** A player is done when the publisher is, and at most this much is left to play, in seconds. */
const LEFT_SECONDS = 0.5;
/** Positions of players, in pixels. */
const COLUMNS = 8;
const WIDTH = 96;
const HEIGHT = 90;
/** A page is scaled down so far that its picture is visible. */
const PAGE_SCALE = 0.2;

const contest = { players: [], isOver: false };
window.contest = contest;

const starts = {
  lowLatency: (player, url) => startHls(player, url, true),
  normal: (player, url) => startHls(player, url, false),
  async shaka(player, url) {
    shaka.polyfill.installAll();
    const engine = new shaka.Player();
    const note = (error) => {
      const isFatal = error.severity !== shaka.util.Error.Severity.RECOVERABLE;
      if (isFatal) player.errors.push(error.code ? `${error.code}: ${error.data}` : `${error.stack}`);
    };
    engine.addEventListener("error", ({ detail }) => note(detail));
    await engine.attach(player.video);
    await engine.load(url).catch(note);
  },
};

function startHls(player, url, lowLatencyMode) {
  const engine = new Hls({ lowLatencyMode });
  engine.on(Hls.Events.ERROR, (_, { fatal, details, error }) => fatal && player.errors.push(`${details}: ${error?.message}`));
  engine.loadSource(url);
  engine.attachMedia(player.video);
}

/** Plays `url` of the stream `name` in a player of this `kind`; our own page is one. A file is played at `fileRate`. */
contest.play = async (name, kind, url, fileRate = null) => {
  const player = { name, kind, errors: [], stillMs: 0, pictures: 0, late: 0, first: null, last: null, isDone: false, fileRate };
  contest.players.push(player);
  if (kind === "page") {
    const frame = show(document.createElement("iframe"));
    frame.src = url;
    await new Promise((loaded) => frame.addEventListener("load", loaded));
    player.video = frame.contentDocument.querySelector("video");
    player.page = frame.contentWindow;
  } else {
    player.video = show(Object.assign(document.createElement("video"), { muted: true, autoplay: true }));
    const rate = fileRate ?? 1;
    Object.assign(player.video, { defaultPlaybackRate: rate, playbackRate: rate });
    starts[kind](player, url);
  }
};

/** Puts `element` where it is visible: browsers do not decode hidden pictures. */
function show(element) {
  const at = contest.players.length - 1;
  const place = { position: "fixed", left: `${(at % COLUMNS) * WIDTH}px`, top: `${Math.floor(at / COLUMNS) * HEIGHT}px` };
  const scale = element.tagName === "IFRAME" ? PAGE_SCALE : 1;
  const size = { width: `${WIDTH / scale}px`, height: `${HEIGHT / scale}px`, border: 0 };
  Object.assign(element.style, place, size, { transform: `scale(${scale})`, transformOrigin: "0 0" });
  return document.body.appendChild(element);
}

function look(player) {
  const { video } = player;
  if (!video || player.isDone) return;
  const now = performance.now();
  const seconds = video.currentTime;
  const { buffered } = video;
  const left = buffered.length > 0 ? buffered.end(buffered.length - 1) - seconds : Infinity;
  // Shaka computes the live edge from the wall clock, and moves there although nothing more comes.
  const isBeyond = left < 0;
  // Before its first picture a player looks for its position.
  const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
  const shows = totalVideoFrames > 0 && video.readyState > 1;
  if (shows && seconds !== player.last?.seconds && !isBeyond) {
    player.first ??= { now, seconds };
    if (player.last) player.stillMs = Math.max(player.stillMs, now - player.last.now);
    player.last = { now, seconds };
  }
  player.isDone = player.fileRate ? video.ended : contest.isOver && player.first !== null && left < LEFT_SECONDS;
  Object.assign(player, { pictures: totalVideoFrames, late: droppedVideoFrames });
}

setInterval(() => contest.players.forEach(look), LOOK_MS);

/** Removes all players. */
contest.clear = () => {
  contest.players = [];
  document.body.replaceChildren();
};

contest.isDone = () => contest.players.every(({ isDone }) => isDone);

contest.report = () =>
  contest.players.map(({ name, kind, errors, stillMs, first, last, pictures, late, isDone, video, page }) => {
    const own = page?.astralPlayer;
    const unlookedFor = last && !isDone ? performance.now() - last.now : 0;
    return {
      name,
      kind,
      errors: own?.fatalErrors ? [...errors, ...own.events.map(({ kind, detail }) => `${kind} ${detail}`)] : errors,
      still_ms: Math.round(Math.max(stillMs, unlookedFor)),
      played_ms: Math.round(first ? (last.seconds - first.seconds) * 1000 : 0),
      pictures,
      late,
      is_done: isDone,
      state: `at ${video?.currentTime}, ready ${video?.readyState}, ${video?.error?.message ?? "no error"}`,
    };
  });
