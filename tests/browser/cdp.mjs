/** Headless Chromium over its debugging pipe: just enough of the Chrome DevTools Protocol to open a page and ask it things. */

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

const POLL_MS = 50;
const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--mute-audio", "--autoplay-policy=no-user-gesture-required",
  "--remote-debugging-pipe",
];

/** Starts Chromium; the answer's `open(url)` gives a page, `close()` ends it all. */
export async function startBrowser() {
  const profile = await mkdtemp(path.join(tmpdir(), "astral-browser-"));
  const program = process.env.CHROMIUM ?? "chromium";
  const child = spawn(program, [...FLAGS, `--user-data-dir=${profile}`], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
  const gone = new Promise((resolve) => child.on("exit", resolve));
  const call = speak(child.stdio[3], child.stdio[4]);
  return {
    open: (url, size) => openPage(call, url, size),
    close: async () => {
      child.kill();
      await gone;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Commands out, answers in: JSON documents, each ended by a zero byte. */
function speak(out, into) {
  const waiting = new Map();
  let last = 0;
  let rest = "";
  into.setEncoding("utf8");
  into.on("data", (text) => {
    const messages = (rest + text).split("\0");
    rest = messages.pop();
    for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
      const settle = waiting.get(id);
      waiting.delete(id);
      if (error) settle?.reject(new Error(error.message));
      else settle?.resolve(result);
    }
  });
  return (method, params = {}, sessionId = undefined) =>
    new Promise((resolve, reject) => {
      last += 1;
      waiting.set(last, { resolve, reject });
      out.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
    });
}

async function openPage(call, url, { width = 1280, height = 800, dark = true } = {}) {
  const { targetId } = await call("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  const ask = (method, params) => call(method, params, sessionId);
  const features = [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }];
  await ask("Emulation.setEmulatedMedia", { features });
  await ask("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  await ask("Page.navigate", { url });
  return {
    ask,
    evaluate: (expression) => evaluate(ask, expression),
    until: (condition) => until(ask, condition),
  };
}

async function evaluate(ask, expression) {
  const { result, exceptionDetails } = await ask("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value;
}

/** Asks until the page finds `condition` to be so; until it has loaded there is little to ask. */
async function until(ask, condition) {
  while (!(await evaluate(ask, condition).catch(() => false))) await new Promise((again) => setTimeout(again, POLL_MS));
}
