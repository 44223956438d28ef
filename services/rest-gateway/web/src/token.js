/** The token for requests to the gateway, if it requires one. It is kept for this tab only. */

const NAME = "astral-token";

/** Returns the headers with the token. */
export function credentials() {
  const token = sessionStorage.getItem(NAME);
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** Keeps `token`. An empty one removes it. */
export function keep(token) {
  if (token) sessionStorage.setItem(NAME, token);
  else sessionStorage.removeItem(NAME);
}
