/**
 * The relay from which the player fetches. Initialization sections, segments and parts are the same bytes under the same path on
 * every relay. So a player that loses its relay requests the same path from the gateway, is redirected to another relay, and continues.
 */
export class Route {
  /** Creates a route for the stream `slug`. `gateway` is an origin, without a trailing slash. */
  constructor(slug, gateway) {
    this.mark = `/live/${slug}/`;
    this.gateway = gateway;
    this.relay = null;
    this.lost = null;
  }

  /** Returns where to fetch `url`: the same path at the current relay, or at the gateway, which is told which relay was lost. */
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

  /** Forgets the relay that failed under `url`, unless another one has been learned since. */
  lose(url) {
    if (this.relay !== null && url.startsWith(this.relay + this.mark)) this.#forget();
  }

  #forget() {
    this.lost = this.relay;
    this.relay = null;
  }

  /** Returns `host:port` of the current relay, or an empty string. */
  get host() {
    return this.relay === null ? "" : new URL(this.relay).host;
  }
}
