/** Hits of a search on the map: which points they are, and the bar that tells and leads back. */

import { isOvertaken, post } from "./api.js";
import { announce, counted, element, fill, toast } from "./dom.js";
import { unpacked } from "./map_points.js";
import { addressOf, currentSearch, isQueryless, REACH, requestOf, searchOf } from "./state.js";

const RAISED = 5_000; // hits, at most, that are drawn larger than other points

/** Return the URL of the hits of a search on the map; of the map alone if the search asks for nothing. */
export function mapOfSearch(search) {
  const address = addressOf({ ...search, open: null });
  return address === "/" ? "/map" : `/map?${new URLSearchParams({ search: address })}`;
}

/** Create the link from a search to its hits on the map; `current()` returns the search. */
export function mapLink(current) {
  const set = (event) => event.currentTarget.setAttribute("href", mapOfSearch(current()));
  const listeners = { onclick: set, onpointerenter: set, onfocus: set };
  const title = "Show these pictures among all others";
  const attributes = { id: "on-map", class: "button quiet small", href: "/map", title };
  return element("a", { ...attributes, ...listeners }, "Show on the map");
}

/**
 * Find the points of the hits of the search with an address: {address, indices, words}, the best first.
 *
 * A search with a query has its best hits, a filter alone all pictures that pass it.
 */
async function loadHits(map, points, address, signal) {
  const search = searchOf(new URL(address, location.href).searchParams);
  const body = requestOf(search, { k: REACH });
  const answer = await post(`/api/map/${encodeURIComponent(map.name)}/hits`, body, { signal });
  if (answer.points !== points.count) throw new Error("The lake has changed since the map was loaded; reload the page");
  const indices = unpacked(answer.places, Uint32Array);
  return { address, indices, words: wordsOf(answer, indices.length, isQueryless(search)) };
}

function wordsOf({ count, more }, onMap, isFilter) {
  const all = isFilter ? counted(count, "picture") : more ? `The ${count} best hits` : counted(count, "hit");
  return onMap < count ? `${all}, ${(count - onMap).toLocaleString("en")} not on this map` : all;
}

/** Return the hits that are drawn larger: none of very many. */
export function raisedOf(hits) {
  return hits && hits.indices.length <= RAISED ? hits.indices : null;
}

/**
 * Create the hits of a map, with the bar over the map that tells their number and leads back.
 *
 * `onChange()` is called when other hits are shown, or none; `onAddress(address)` when that is the choice of the user.
 * Returns {root, current, show, toggle}: `current()` are the hits {address, indices, words} or null, `show(address)`
 * shows those of a search, `toggle()` those of the current search, or all points.
 */
export function makeHits(map, points, signal, { onChange, onAddress }) {
  const root = element("div", { class: "map-hits", hidden: true });
  let hits = null;
  let wanted = null; // address that was asked for last

  async function show(address) {
    if ((address || null) === wanted) return;
    wanted = address || null;
    if (!wanted) return set(null);
    try {
      const loaded = await loadHits(map, points, address, signal);
      if (address === wanted && !signal.aborted) set(loaded);
    } catch (error) {
      if (isOvertaken(error) || signal.aborted) return;
      wanted = hits?.address ?? null;
      toast(error.message);
    }
  }

  function set(shown) {
    hits = shown;
    root.hidden = !hits;
    fill(root, hits && bar(hits));
    announce(hits ? hits.words : "All points are shown");
    onChange();
  }

  function bar({ words, address }) {
    const all = () => choose(null);
    return [
      element("strong", { id: "hits-said" }, words),
      element("button", { type: "button", class: "quiet", id: "all-points", onclick: all }, "Show all points"),
      element("a", { class: "button quiet", id: "to-search", href: address }, "Back to the search"),
    ];
  }

  function choose(address) {
    onAddress(address);
    show(address);
  }

  function toggle() {
    if (hits) return choose(null);
    const address = addressOf({ ...currentSearch(), open: null });
    if (address === "/") return toast("There are no hits to show: search, or filter, first.");
    choose(address);
  }

  return { root, current: () => hits, show, toggle };
}
