import assert from "node:assert/strict";
import test from "node:test";
import { EventReader } from "../src/events.js";
import { flowOf, stateOf, worstOf } from "../src/flow.js";
import { layout, nameOf, shortened, use } from "../src/layout.js";

const node = (uuid, more = {}) => ({ uuid, role: "node", state: "up", media_url: `http://${uuid}:1`, limit_kbps: 10, promised_kbps: 2, viewer_kbps: 3, primary_supernode: null, ...more });
const relay = (id, provider, hops, standby = null) => ({ node: id, provider, standby, hops, viewers: { flv: 1, rtmp: 0, hls: 0 } });

const topology = {
  nodes: [node("leaf", { primary_supernode: "super" }), node("bare"), node("origin"), node("super", { role: "supernode" })],
  trees: [
    { slug: "a", relays: [relay("origin", null, 0), relay("super", "origin", 1), relay("leaf", "super", 2, "origin")] },
    { slug: "b", relays: [relay("leaf", null, 0)] },
  ],
};

test("relays are placed by their distance from the origin, those that carry nothing last", () => {
  const { nodes } = layout(topology, new Set(["a"]), 1000);
  const x = Object.fromEntries(nodes.map((one) => [one.id, one.x]));
  assert.ok(x.origin < x.super && x.super < x.leaf && x.leaf < x.bare);
  const upright = layout(topology, new Set(["a"]), 360).nodes;
  const y = Object.fromEntries(upright.map((one) => [one.id, one.y]));
  assert.ok(y.origin < y.super && y.super < y.leaf && upright.every((one) => one.x <= 360));
});

test("links show providers, standbys and primary supernodes", () => {
  const of = (slugs) => layout(topology, new Set(slugs), 1000).links.map(({ id }) => id).sort();
  assert.deepEqual(of(["a"]), ["feeds a origin super", "feeds a super leaf", "hangs null super leaf", "standby a origin leaf"]);
  assert.deepEqual(of(["b"]), ["hangs null super leaf"]);
});

test("viewers of all shown streams add up, and origins are marked", () => {
  const { nodes } = layout(topology, new Set(["a", "b"]), 1000);
  const leaf = nodes.find(({ id }) => id === "leaf");
  assert.deepEqual([leaf.viewers, leaf.hops, leaf.origin], [2, 2, true]);
});

test("a network that is too large is drawn in part, and an empty one is drawn", () => {
  const nodes = Array.from({ length: 300 }, (_, index) => node(`n${index}`));
  const large = layout({ nodes, trees: [] }, new Set(), 1000);
  assert.deepEqual([large.nodes.length, large.left], [120, 180]);
  assert.deepEqual(layout({ nodes: [], trees: [] }, new Set(), 1000).nodes, []);
});

test("a relay that receives nothing, is behind or waits differs from one to which the stream flows", () => {
  for (const [relay, kind, text] of [
    [{ provider: "a", silent_ms: 40, behind_ms: 0 }, "flows", ""],
    [{ provider: "a", silent_ms: 1900, behind_ms: 1900 }, "flows", ""],
    [{ provider: "a" }, "flows", ""],
    [{ provider: "a", silent_ms: 4100, behind_ms: 3900 }, "cut", "receives nothing for 4 s"],
    [{ provider: "a", silent_ms: 75000, behind_ms: null }, "cut", "receives nothing for 1 min"],
    [{ provider: "a", silent_ms: 30, behind_ms: 3250 }, "behind", "3.3 s behind"],
    [{ provider: "a", silent_ms: 4100, behind_ms: 0 }, "quiet", "waits for the publisher"],
    [{ provider: null, silent_ms: 30, behind_ms: 0 }, "flows", ""],
    [{ provider: null, silent_ms: 5000, behind_ms: 0 }, "quiet", "nothing from its publisher for 5 s"],
  ]) {
    assert.deepEqual(flowOf(relay), { kind, text }, JSON.stringify(relay));
  }
  assert.equal(worstOf([{ kind: "flows" }, { kind: "cut" }, { kind: "behind" }]), "cut");
  assert.equal(worstOf([]), "flows");
});

test("the state of a node says what is wrong, and with which stream if it carries several", () => {
  const fine = { slug: "a", kind: "flows", text: "" };
  const cut = { slug: "b", kind: "cut", text: "receives nothing for 4 s" };
  assert.equal(stateOf("up", []), "up");
  assert.equal(stateOf("up", [fine]), "up");
  assert.equal(stateOf("up", [cut]), "receives nothing for 4 s");
  assert.equal(stateOf("up", [fine, cut]), "b: receives nothing for 4 s");
  assert.equal(stateOf("suspected", [cut]), "suspected");
});

test("a link shows whether media flows on it, unless its subscriber is silent", () => {
  const flowing = (subscriber, more) => {
    const nodes = [node("origin"), node("leaf", subscriber)];
    const trees = [{ slug: "a", relays: [relay("origin", null, 0), { ...relay("leaf", "origin", 1), ...more }] }];
    return layout({ nodes, trees }, new Set(["a"]), 1000).links.map(({ flow }) => flow);
  };
  assert.deepEqual(flowing({}, { silent_ms: 10, behind_ms: 0 }), ["flows"]);
  assert.deepEqual(flowing({}, { silent_ms: 9000, behind_ms: 8000 }), ["cut"]);
  assert.deepEqual(flowing({ state: "suspected" }, { silent_ms: 10, behind_ms: 0 }), ["unknown"]);
});

test("a relay is shown by its name, or else by its public address", () => {
  assert.equal(nameOf({ name: "relay-7", media_url: "http://shared:1", id: "x" }), "relay-7");
  assert.equal(nameOf({ name: "", media_url: "http://shared:1", id: "x" }), "shared:1");
  assert.equal(nameOf({ name: "", media_url: "", id: "0123456789" }), "01234567");
});

test("the end of a name is shown if there is no room for all of it", () => {
  assert.equal(shortened("media-forwarder-7c9f8-abcde", 260), "media-forwarder-7c9f8-abcde");
  assert.equal(shortened("media-forwarder-7c9f8-abcde", 96), "…7c9f8-abcde");
  assert.equal(shortened("127.0.0.1:18082", 60), "…:18082");
  const many = Array.from({ length: 9 }, (_, index) => node(`n${index}`));
  const { nodes } = layout({ nodes: many, trees: [] }, new Set(), 320);
  for (const one of nodes) assert.ok(one.x - one.room / 2 >= 0 && one.x + one.room / 2 <= 320);
});

test("usage is a share of the upstream", () => {
  assert.equal(use(node("a")), 0.5);
  assert.equal(use(node("a", { limit_kbps: 0 })), 0);
  assert.equal(use(node("a", { viewer_kbps: 90 })), 1);
});

test("events are read however their stream is cut", () => {
  const text = ':\n\nid:g-1\ndata:{"type":"ready"}\n\nid: g-2\ndata: {"a": "b: c"}\n\n';
  const expected = [{ id: "g-1", data: '{"type":"ready"}' }, { id: "g-2", data: '{"a": "b: c"}' }];
  for (const size of [1, 3, 7, 100]) {
    const reader = new EventReader();
    const read = [];
    for (let at = 0; at < text.length; at += size) read.push(...reader.push(text.slice(at, at + size)));
    assert.deepEqual(read, expected, String(size));
  }
});
