/** The gateway's REST API, as far as the pages need it. */

import { credentials } from "./token.js";

const TIMEOUT_MS = 8000;
const PAGE = 200;
const PAGES_MAX = 10;

/** A request that failed: `status` is 0 if no answer came, `code` is the problem's. */
export class ApiError extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** Every stream, in order of name. */
export async function listStreams() {
  const items = [];
  let cursor = null;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const query = new URLSearchParams({ limit: PAGE, ...(cursor && { cursor }) });
    const answer = await get(`/v1/streams?${query}`);
    items.push(...answer.items);
    cursor = answer.next_cursor;
    if (!cursor) break;
  }
  return items;
}

/** One stream, or null if there is none of that name. */
export async function getStream(slug) {
  try {
    return await get(`/v1/streams/${encodeURIComponent(slug)}`);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** The whole network: its nodes, and the trees of all streams on air. */
export async function getTopology() {
  const whole = await get("/v1/topology");
  for (let page = 1; page < PAGES_MAX && whole.next_cursor; page += 1) {
    const { trees, next_cursor: next } = await get(`/v1/topology?${new URLSearchParams({ cursor: whole.next_cursor })}`);
    whole.trees.push(...trees);
    whole.next_cursor = next;
  }
  return whole;
}

/** Where to publish: the RTMP address of a node that is up, or this page's host when nodes are not shown to us. */
export async function rtmpUrl() {
  const usual = `rtmp://${location.hostname}:1935/live`;
  try {
    const { items } = await get("/v1/nodes");
    const urls = items.filter(({ state }) => state === "up").map(({ rtmp_url: url }) => url);
    // The lowest port first: that is the one people know.
    return urls.filter(Boolean).sort()[0] ?? usual;
  } catch {
    // Nodes are for operators where there are tokens.
    return usual;
  }
}

/** Calls `step` now and every `ms` after it has finished, until the returned function is called. Errors go to `failed`. */
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

/** The document at `path`. */
export async function get(path) {
  const response = await fetch(path, { headers: credentials(), signal: AbortSignal.timeout(TIMEOUT_MS) }).catch((error) => {
    throw new ApiError(0, "unreachable", error.message);
  });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new ApiError(response.status, problem.code, problem.detail ?? response.statusText);
}
