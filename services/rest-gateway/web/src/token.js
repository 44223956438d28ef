/** The token by which this tab asks the gateway, where it wants one. It is kept for the tab alone. */

const NAME = "astral-token";

/** Headers that say who asks. */
export function credentials() {
  const token = sessionStorage.getItem(NAME);
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** Keeps `token`; an empty one forgets. */
export function keep(token) {
  if (token) sessionStorage.setItem(NAME, token);
  else sessionStorage.removeItem(NAME);
}
