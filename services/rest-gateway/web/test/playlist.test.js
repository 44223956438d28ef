import assert from "node:assert/strict";
import test from "node:test";
import { codecs, newestPicture } from "../src/playlist.js";

const BASE = "http://relay:8081/live/demo/media.m3u8";

test("codecs are those of the first variant", () => {
  const index = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2500000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720\nmedia.m3u8\n';
  assert.equal(codecs(index), "avc1.64001f,mp4a.40.2");
  assert.equal(codecs("#EXTM3U\n"), null);
});

test("the newest independent part is preferred to the segment before it", () => {
  const media = `#EXTM3U
#EXT-X-MAP:URI="1/init-0.mp4"
#EXTINF:2.0,
1/7.m4s
#EXT-X-PART:DURATION=0.2,URI="1/8.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.2,URI="1/8.1.m4s"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="1/8.2.m4s"
`;
  assert.deepEqual(newestPicture(media, BASE), {
    init: "http://relay:8081/live/demo/1/init-0.mp4",
    piece: "http://relay:8081/live/demo/1/8.0.m4s",
  });
});

test("the first part of a finished segment is used instead of the segment", () => {
  const media = '#EXT-X-MAP:URI="1/init-0.mp4"\n#EXT-X-PART:DURATION=0.2,URI="1/8.0.m4s",INDEPENDENT=YES\n#EXTINF:2.0,\n1/8.m4s\n';
  assert.match(newestPicture(media, BASE).piece, /8\.0\.m4s$/);
});

test("without parts the newest segment that is not a gap is used, with its initialization section", () => {
  const media = `#EXT-X-MAP:URI="1/init-0.mp4"
#EXTINF:2.0,
1/7.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="2/init-0.mp4"
#EXTINF:2.0,
2/8.m4s
#EXT-X-GAP
#EXTINF:2.0,
2/9.m4s
`;
  const picture = newestPicture(media, BASE);
  assert.match(picture.piece, /2\/8\.m4s$/);
  assert.match(picture.init, /2\/init-0\.mp4$/);
});

test("a playlist without media or initialization section has no picture", () => {
  assert.equal(newestPicture('#EXTM3U\n#EXT-X-MAP:URI="1/init-0.mp4"\n', BASE), null);
  assert.equal(newestPicture("#EXTM3U\n#EXTINF:2.0,\n1/7.m4s\n", BASE), null);
});
