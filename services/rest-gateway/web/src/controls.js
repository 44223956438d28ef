/** The buttons on the picture and their keys: space or K, M, F, L. */

const HIDE_MS = 2500;

/** Connects the controls inside `stage` to `player`. */
export function mountControls(stage, player) {
  const { video } = player;
  const actions = {
    play: () => (video.paused ? player.goLive() : video.pause()),
    mute: () => (video.muted = !video.muted),
    live: () => player.goLive(),
    pip: () => togglePictureInPicture(video),
    full: () => toggleFullScreen(stage, video),
  };
  stage.addEventListener("click", ({ target }) => {
    actions[target.closest("[data-action]")?.dataset.action]?.();
  });
  video.addEventListener("click", actions.mute);
  video.addEventListener("dblclick", actions.full);
  mountKeys(actions);
  mountVolume(stage.querySelector("input"), video);
  for (const name of ["play", "pause", "volumechange"]) video.addEventListener(name, () => label(stage, video));
  stage.querySelector("[data-action=pip]").hidden = !document.pictureInPictureEnabled;
  hideWhenIdle(stage);
  label(stage, video);
}

function mountKeys(actions) {
  const keys = { " ": "play", k: "play", m: "mute", f: "full", l: "live" };
  document.addEventListener("keydown", (event) => {
    const action = keys[event.key.toLowerCase()];
    const busy = event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, button, a");
    if (!action || busy) return;
    event.preventDefault();
    actions[action]();
  });
}

function mountVolume(slider, video) {
  slider.addEventListener("input", () => {
    video.volume = slider.valueAsNumber;
    video.muted = video.volume === 0;
  });
  video.addEventListener("volumechange", () => (slider.value = video.muted ? 0 : video.volume));
}

function label(stage, video) {
  stage.dataset.paused = video.paused ? "yes" : "";
  stage.dataset.muted = video.muted ? "yes" : "";
  stage.querySelector("[data-action=play]").ariaLabel = video.paused ? "Play" : "Pause";
  stage.querySelector(".bar [data-action=mute]").ariaLabel = video.muted ? "Unmute" : "Mute";
}

function hideWhenIdle(stage) {
  let timer = 0;
  const wake = () => {
    stage.dataset.idle = "";
    clearTimeout(timer);
    timer = setTimeout(() => (stage.dataset.idle = "yes"), HIDE_MS);
  };
  for (const name of ["pointermove", "pointerdown", "focusin"]) stage.addEventListener(name, wake);
  document.addEventListener("keydown", wake);
  wake();
}

function toggleFullScreen(stage, video) {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (stage.requestFullscreen) stage.requestFullscreen().catch(() => {});
  else video.webkitEnterFullscreen?.();
}

function togglePictureInPicture(video) {
  if (document.pictureInPictureElement) document.exitPictureInPicture();
  else video.requestPictureInPicture?.().catch(() => {});
}
