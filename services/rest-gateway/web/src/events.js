/** The gateway's events, read from its stream: with a token in the head, which `EventSource` cannot send. */

import { ApiError } from "./api.js";
import { backoff } from "./backoff.js";
import { credentials } from "./token.js";

/** A stream on which nothing came for this long is dead: the gateway says something every 15 s. */
const SILENCE_MS = 40000;

/** Takes the text of an event stream apart: give it pieces, it gives `{id, data}` of every event that is whole. */
export class EventReader {
  #text = "";

  /** The events that are whole now that `piece` is here. */
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

/** Hands every event to `heard`, for ever; `connected` is told whether they come, with the error if they do not. */
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
