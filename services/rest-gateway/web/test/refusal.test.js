import assert from "node:assert/strict";
import test from "node:test";
import { refusalIn, textOf } from "../src/refusal.js";

const problem = (code) => JSON.stringify({ status: 503, code });

test("a refused viewer waits as long as told, and a little longer so that not all return at once", () => {
  assert.deepEqual(refusalIn(503, "5", problem("full"), 0), { code: "full", ms: 5000 });
  assert.deepEqual(refusalIn(503, "5", problem("full"), 0.999), { code: "full", ms: 6499 });
  assert.deepEqual(refusalIn(503, "2", problem("not_begun"), 0), { code: "not_begun", ms: 2000 });
});

test("a missing or invalid time is replaced by the usual one", () => {
  for (const told of [null, "", "0", "-3", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"]) {
    assert.equal(refusalIn(503, told, problem("control_plane_away"), 0).ms, 5000, told);
  }
  assert.equal(refusalIn(503, "86400", problem("full"), 0).ms, 60000);
});

test("other failures are not refusals: the player leaves a failing relay at once", () => {
  for (const [status, body] of [
    [503, problem("unavailable")],
    [503, "<html>a proxy</html>"],
    [503, ""],
    [500, problem("full")],
    [404, problem("not_found")],
    [200, "#EXTM3U"],
  ]) {
    assert.equal(refusalIn(status, "5", body), null, `${status} ${body}`);
  }
});

test("the refusal of a segment is read as text, too", () => {
  assert.equal(textOf({ response: new TextEncoder().encode(problem("full")).buffer }), problem("full"));
  assert.equal(textOf({ response: "text" }), "text");
  assert.equal(textOf({ response: null }), "");
});
