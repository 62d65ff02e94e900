/**
 * The place of the first hit in view, kept in the history entry of a search, so that Back, Forward and a reload return
 * to it. The browser cannot: it restores positions before the hits have arrived.
 */

import { debounced } from "./dom.js";

/** Keep a place in the history entry of an address, once the view rests. */
export const keepPlace = debounced((place, address) => {
  if (keptPlace() === place || location.href !== address) return;
  history.replaceState({ ...history.state, place }, "");
}, 250);

/** Return the place that the current history entry has. */
export function keptPlace() {
  return history.state?.place ?? 0;
}

/** Turn off the restoration of the browser; returns a function that turns it on again. */
export function restorePlaces() {
  history.scrollRestoration = "manual";
  return () => (history.scrollRestoration = "auto");
}
