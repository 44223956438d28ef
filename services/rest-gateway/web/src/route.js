/**
 * Which relay the player fetches from. Init sections, segments and parts are the same bytes under the same path on every relay,
 * so a player that loses its relay asks the gateway for the very same path, is sent to another relay, and goes on.
 */
export class Route {
  /** A route for the stream `slug`; `gateway` is an origin, without a trailing slash. */
  constructor(slug, gateway) {
    this.mark = `/live/${slug}/`;
    this.gateway = gateway;
    this.relay = null;
    this.lost = null;
  }

  /** Where to ask for what `url` names: the same path at the current relay; or at the gateway, which is told what was lost. */
  resolve(url) {
    const at = url.indexOf(this.mark);
    if (at < 0) return url;
    const rest = url.slice(at);
    if (this.relay !== null) return this.relay + rest;
    const avoid = this.lost && `${rest.includes("?") ? "&" : "?"}avoid=${new URL(this.lost).host}`;
    return this.gateway + rest + (avoid ?? "");
  }

  /** Remembers the relay that answered under `url`. */
  learn(url) {
    const at = url.indexOf(this.mark);
    if (at >= 0 && url.slice(0, at) !== this.gateway) this.relay = url.slice(0, at);
  }

  /** Gives the relay up that failed under `url`; one learnt since then is kept. */
  lose(url) {
    if (this.relay !== null && url.startsWith(this.relay + this.mark)) this.#forget();
  }

  #forget() {
    this.lost = this.relay;
    this.relay = null;
  }

  /** `host:port` of the current relay, or an empty string. */
  get host() {
    return this.relay === null ? "" : new URL(this.relay).host;
  }
}
