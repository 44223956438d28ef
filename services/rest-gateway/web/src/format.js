/** Formats numbers for people. */

/** `1.0 Gbit/s`, `2.5 Mbit/s`, `640 kbit/s`; empty if the bitrate is not known. */
export function bitrate(kbps) {
  if (!kbps) return "";
  if (kbps >= 1e6) return `${(kbps / 1e6).toFixed(1)} Gbit/s`;
  return kbps < 1000 ? `${Math.round(kbps)} kbit/s` : `${(kbps / 1000).toFixed(1)} Mbit/s`;
}

/** `12 s`, `3 min`, `1 h 04 min`, `2 d 3 h`. */
export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (minutes < 1) return `${seconds} s`;
  if (hours < 1) return `${minutes} min`;
  if (hours < 24) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** `no viewers`, `1 viewer`, `12 viewers`; all protocols together. */
export function viewers({ flv = 0, rtmp = 0, hls = 0 } = {}) {
  const total = flv + rtmp + hls;
  return total === 0 ? "no viewers" : plural(total, "viewer");
}

/** `1 relay`, `3 relays`. */
export function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** `0.9 s behind`; empty if the delay is not known. */
export function delay(seconds) {
  return Number.isFinite(seconds) && seconds > 0 ? `${seconds.toFixed(1)} s behind` : "";
}
