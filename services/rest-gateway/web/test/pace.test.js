import assert from "node:assert/strict";
import test from "node:test";
import { Pace } from "../src/pace.js";

/** The rate after a second in which `aheads` were seen, one after another. */
function rateAfter(pace, aheads, from = 0) {
  return aheads.map((ahead, index) => pace.rate(ahead, from + index * 100)).at(-1);
}

test("with just enough buffered it plays at normal speed, even when a new part arrives", () => {
  assert.equal(rateAfter(new Pace(), [0.45, 0.35, 0.25, 0.45, 0.35, 0.25, 0.45]), 1);
});

test("with too much buffered it catches up, at most 10 % faster", () => {
  const rate = rateAfter(new Pace(), [0.6, 0.5, 0.4, 0.6]);
  assert.ok(rate > 1 && rate < 1.1, `${rate}`);
  assert.equal(rateAfter(new Pace(), [9, 9]), 1.1);
});

test("with too little buffered it slows down before it stalls", () => {
  const rate = rateAfter(new Pace(), [0.3, 0.2, 0.1]);
  assert.ok(rate < 1 && rate >= 0.95, `${rate}`);
});

test("a stall increases the reserve, and a time without stalls reduces it again", () => {
  const pace = new Pace();
  const first = pace.reserve;
  pace.stalled(0);
  assert.ok(pace.reserve > first);
  for (let now = 0; now < 600_000; now += 1000) pace.rate(1, now);
  assert.equal(pace.reserve, first);
  for (let stall = 0; stall < 99; stall += 1) pace.stalled(0);
  assert.equal(pace.reserve, 2);
});
