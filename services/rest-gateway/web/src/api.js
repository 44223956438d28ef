/** The parts of the gateway's REST API that the pages use. */

import { credentials } from "./token.js";

const TIMEOUT_MS = 8000;
const PAGE = 200;
const PAGES_MAX = 10;

/** A failed request. `status` is 0 without an answer; `code` is the code of the problem. */
export class ApiError extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** Returns the streams that are live or whose publisher may come back, sorted by name. */
export async function listStreams() {
  const items = [];
  let cursor = null;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const query = new URLSearchParams({ state: "live,grace", limit: PAGE, ...(cursor && { cursor }) });
    const answer = await get(`/v1/streams?${query}`);
    items.push(...answer.items);
    cursor = answer.next_cursor;
    if (!cursor) break;
  }
  return items;
}

/** Returns a stream, or null if there is none with that name. */
export async function getStream(slug) {
  try {
    return await get(`/v1/streams/${encodeURIComponent(slug)}`);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** Returns the whole network: its nodes, and the trees of all live streams. */
export async function getTopology() {
  const whole = await get("/v1/topology");
  for (let page = 1; page < PAGES_MAX && whole.next_cursor; page += 1) {
    const { trees, next_cursor: next } = await get(`/v1/topology?${new URLSearchParams({ cursor: whole.next_cursor })}`);
    whole.trees.push(...trees);
    whole.next_cursor = next;
  }
  return whole;
}

/** Returns the publishing address that the operator has set, such as `rtmp://host:port/live`; null if there is none. */
export async function publishUrl() {
  try {
    return (await get("/v1/ingest")).publish_url;
  } catch {
    return null;
  }
}

/** Calls `step` now, and again `ms` after each call has finished, until the returned function is called. Errors go to `failed`. */
export function every(ms, step, failed) {
  let timer = 0;
  let stopped = false;
  const turn = async () => {
    try {
      await step();
    } catch (error) {
      failed(error);
    }
    if (!stopped) timer = setTimeout(turn, ms);
  };
  turn();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

/** Returns the JSON document at `path`. */
export async function get(path) {
  const response = await fetch(path, { headers: credentials(), signal: AbortSignal.timeout(TIMEOUT_MS) }).catch((error) => {
    throw new ApiError(0, "unreachable", error.message);
  });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new ApiError(response.status, problem.code, problem.detail ?? response.statusText);
}
