/** Reads the gateway's event stream with fetch, because `EventSource` cannot send a token. */

import { ApiError } from "./api.js";
import { backoff } from "./backoff.js";
import { credentials } from "./token.js";

/** A stream without data for this long is dead: the gateway sends something every 15 s. */
const SILENCE_MS = 40000;

/** Parses an event stream that arrives in pieces. */
export class EventReader {
  #text = "";

  /** Adds `piece` and returns the events that are complete now, as `{id, data}`. */
  push(piece) {
    const blocks = (this.#text + piece).split("\n\n");
    this.#text = blocks.pop();
    return blocks.map(fields).filter(({ data }) => data !== undefined);
  }
}

function fields(block) {
  const event = {};
  for (const line of block.split("\n")) {
    const [, name, value] = /^([^:]+): ?(.*)$/.exec(line) ?? [];
    if (name) event[name] = value;
  }
  return event;
}

/** Calls `heard` with every event, forever. Calls `connected` when events begin to come, and with an error when they stop. */
export async function follow(heard, connected) {
  let last;
  for (let attempt = 0; ; attempt += 1) {
    try {
      await listen(last, (event, id) => {
        attempt = -1;
        last = id;
        connected(true);
        heard(event);
      });
    } catch (error) {
      connected(false, error);
    }
    await new Promise((resolve) => setTimeout(resolve, backoff(Math.max(attempt, 0))));
  }
}

async function listen(last, heard) {
  const stop = new AbortController();
  let alarm = setTimeout(() => stop.abort(), SILENCE_MS);
  try {
    const headers = { ...credentials(), ...(last && { "last-event-id": last }) };
    const response = await fetch("/v1/events", { headers, signal: stop.signal });
    if (!response.ok) throw new ApiError(response.status, undefined, response.statusText);
    const reader = new EventReader();
    for await (const piece of pieces(response.body.pipeThrough(new TextDecoderStream()))) {
      clearTimeout(alarm);
      alarm = setTimeout(() => stop.abort(), SILENCE_MS);
      for (const { id, data } of reader.push(piece)) heard(JSON.parse(data), id);
    }
  } finally {
    clearTimeout(alarm);
  }
}

async function* pieces(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
