/** Reads what a thumbnail needs from HLS playlists. */

const ATTRIBUTE = /([A-Z0-9-]+)=("[^"]*"|[^,]*)/g;

/** Returns the codecs of the first variant of a multivariant playlist, or null. */
export function codecs(multivariant) {
  for (const line of multivariant.split(/\r?\n/)) {
    if (line.startsWith("#EXT-X-STREAM-INF:")) return attributes(line).CODECS ?? null;
  }
  return null;
}

/**
 * Returns the newest piece of a media playlist that can be decoded alone: the newest independent part, or else the newest segment.
 * The result is `{init, piece}` with URLs resolved against `base`, or null if there is none yet.
 */
export function newestPicture(media, base) {
  let init = null;
  let found = null;
  let gap = false;
  for (const line of media.split(/\r?\n/)) {
    if (line.startsWith("#EXT-X-MAP:")) init = attributes(line).URI ?? null;
    else if (line.startsWith("#EXT-X-GAP")) gap = true;
    else if (line.startsWith("#EXT-X-PART:")) found = independentPart(line, init) ?? found;
    else if (line !== "" && !line.startsWith("#")) {
      if (!gap && !isSplit(found, init)) found = { init, uri: line };
      gap = false;
    }
  }
  if (!found?.init) return null;
  return { init: new URL(found.init, base).href, piece: new URL(found.uri, base).href };
}

function independentPart(line, init) {
  const part = attributes(line);
  if (part.INDEPENDENT !== "YES" || part.GAP === "YES" || !part.URI) return null;
  return { init, uri: part.URI, part: true };
}

/** Returns whether `found` is the first part of the same segment: it is as new as the segment, and smaller. */
function isSplit(found, init) {
  return found?.part === true && found.init === init;
}

function attributes(line) {
  const list = line.slice(line.indexOf(":") + 1);
  const pairs = [...list.matchAll(ATTRIBUTE)].map(([, name, value]) => [name, value.replace(/^"|"$/g, "")]);
  return Object.fromEntries(pairs);
}
