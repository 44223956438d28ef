import assert from "node:assert/strict";
import test from "node:test";
import { Route } from "../src/route.js";

const GATEWAY = "http://gateway:8080";

function onRelay() {
  const route = new Route("demo", GATEWAY);
  route.learn("http://a:8081/edge/live/demo/media.m3u8?_HLS_msn=7");
  return route;
}

test("the next request goes to the relay that answered", () => {
  const route = onRelay();
  assert.equal(route.host, "a:8081");
  assert.equal(route.resolve(`${GATEWAY}/live/demo/1/7.m4s`), "http://a:8081/edge/live/demo/1/7.m4s");
});

test("a request to a lost relay is repeated at the gateway, with the same path", () => {
  const route = onRelay();
  route.lose("http://a:8081/edge/live/demo/1/7.m4s");
  assert.equal(route.host, "");
  assert.equal(route.resolve("http://a:8081/edge/live/demo/1/7.2.m4s?x=1"), `${GATEWAY}/live/demo/1/7.2.m4s?x=1&avoid=a:8081`);
  assert.equal(route.resolve("http://a:8081/edge/live/demo/1/7.m4s"), `${GATEWAY}/live/demo/1/7.m4s?avoid=a:8081`);
});

test("a late failure of an earlier relay does not lose the present one", () => {
  const route = onRelay();
  route.learn("http://b:8081/live/demo/media.m3u8");
  route.lose("http://a:8081/edge/live/demo/1/7.m4s");
  assert.equal(route.host, "b:8081");
});

test("the gateway itself is not a relay, and other addresses do not change", () => {
  const route = new Route("demo", GATEWAY);
  route.learn(`${GATEWAY}/live/demo/index.m3u8`);
  assert.equal(route.host, "");
  assert.equal(route.resolve("http://else/where.mp4"), "http://else/where.mp4");
});
