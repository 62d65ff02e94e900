/** Pages of hits, fetched where the view is: not in sequence, and not those that it has passed. */

import { isOvertaken } from "./api.js";

export const PAGE = 60; // hits of a page
const REST = 50; // milliseconds without a fast movement, after which its place is fetched
const MOST = 1000; // hits of one request for ids

/**
 * Create the pages of one answer, of which the first has arrived.
 *
 * `load(offset, k, signal)` resolves to hits; `hits` is a Map of those that are known by place; calls
 * `onHits(offset, hits)` for those that arrive, and `onError(error)`. `sizeOf()` is the number of all hits, as far as
 * it is known, and `deepest` the maximum of offset + k.
 */
export function makePages({ load, hits, sizeOf, deepest, onHits, onError }) {
  const pending = new Map(); // page → {controller, arrived}
  let timer = 0;
  let asked = 0; // times that places were needed

  /** Act if no other places are needed by the next frame, which may come later than the timer. */
  function atRest(act) {
    const now = asked;
    requestAnimationFrame(() => requestAnimationFrame(() => asked === now && act()));
  }

  async function fetchPage(page) {
    if (pending.has(page)) return pending.get(page).arrived;
    const controller = new AbortController();
    const k = Math.min(PAGE, deepest - page * PAGE);
    const arrived = fetched(page * PAGE, k, controller.signal).finally(() => pending.delete(page));
    pending.set(page, { controller, arrived });
    return arrived;
  }

  async function fetched(offset, k, signal) {
    const found = await load(offset, k, signal);
    if (!signal.aborted) onHits(offset, found);
  }

  function fetchAll(pages) {
    for (const page of pages) fetchPage(page).catch((error) => isOvertaken(error) || onError(error));
  }

  function missing(first, last) {
    const pages = [];
    for (let page = Math.floor(first / PAGE); page * PAGE <= last; page++) {
      for (let place = Math.max(first, page * PAGE); place <= Math.min(last, page * PAGE + PAGE - 1); place++) {
        if (hits.has(place)) continue;
        pages.push(page);
        break;
      }
    }
    return pages;
  }

  return {
    /** Fetch the hits of some places, and no others any more; while the view moves fast, wait until it rests. */
    need(first, last, { isFast }) {
      const pages = missing(first, last);
      for (const [page, { controller }] of pending) if (!pages.includes(page)) controller.abort();
      clearTimeout(timer);
      asked += 1;
      if (isFast) timer = setTimeout(() => atRest(() => fetchAll(pages)), REST);
      else fetchAll(pages);
    },
    /** Return the hit of a place, fetched if it is not known; undefined if there is none. */
    async hitAt(place) {
      if (place < 0 || place >= sizeOf()) return undefined;
      if (!hits.has(place)) await fetchPage(Math.floor(place / PAGE));
      return hits.get(place);
    },
    /** Return the ids of the hits of some places, both included; those not known are fetched, many at a time. */
    async idsBetween(first, last, { signal } = {}) {
      const end = Math.min(last, sizeOf() - 1);
      for (let place = first; place <= end; place++) {
        if (hits.has(place)) continue;
        await fetched(place, Math.min(MOST, end - place + 1), signal ?? new AbortController().signal);
        if (!hits.has(place)) break;
      }
      return Array.from({ length: Math.max(0, end - first + 1) }, (_, at) => hits.get(first + at)?.image_id);
    },
    stop() {
      clearTimeout(timer);
      asked += 1;
      for (const { controller } of pending.values()) controller.abort();
    },
  };
}
