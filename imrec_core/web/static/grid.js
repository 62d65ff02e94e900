/** Grid of hits: rows of equal height that fill the width, with keyboard navigation. */

import { thumbnail } from "./api.js";
import { element, fileName } from "./dom.js";
import { meaningOf } from "./legend.js";
import { digits } from "./reasons.js";
import { dragImage } from "./tray.js";

const EAGER = 12; // thumbnails to load at once; the browser loads others lazily
const [NARROWEST, WIDEST] = [0.6, 2.2]; // aspect ratios of tiles; others are cropped

/** Create the grid; calls `onAct(action, hit)` with "open", "like", "unlike" or "more". */
export function makeGrid(addressOfHit, onAct) {
  const root = element("ul", { class: "grid", "aria-label": "Pictures" });
  const hits = new Map(); // image_id → hit, in the order of the grid
  root.addEventListener("click", (event) => {
    const tile = event.target.closest("a.tile");
    if (!tile || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    onAct("open", hits.get(tile.dataset.id));
  });
  root.addEventListener("keydown", (event) => keyed(event, root, (action, id) => onAct(action, hits.get(id))));
  root.addEventListener("focusin", (event) => rove(root, event.target.closest("a.tile")));
  root.addEventListener("dragstart", (event) => {
    const tile = event.target.closest("a.tile");
    if (tile) dragImage(event, tile.dataset.id);
  });
  return {
    root,
    hits,
    clear() {
      hits.clear();
      root.replaceChildren();
    },
    /** Append hits; skip those that are already shown, which repeat if the lake has changed between pages. */
    append(found, features) {
      const fresh = found.filter((hit) => !hits.has(hit.image_id));
      for (const hit of fresh) hits.set(hit.image_id, hit);
      const first = root.children.length;
      root.append(...fresh.map((hit, at) => tileOf(hit, features, addressOfHit(hit), first + at)));
      if (!root.querySelector("a.tile[tabindex='0']")) rove(root, root.querySelector("a.tile"));
      return fresh.length;
    },
    /** Focus a hit, by default the first. */
    focus(imageId) {
      const tile = imageId ? root.querySelector(`a.tile[data-id="${imageId}"]`) : root.querySelector("a.tile");
      tile?.focus();
    },
  };
}

function tileOf(hit, features, href, place) {
  const ratio = hit.width && hit.height ? hit.width / hit.height : 4 / 3;
  const shape = Math.min(Math.max(ratio, NARROWEST), WIDEST);
  const picture = element("img", {
    src: thumbnail(hit.image_id), srcset: `${thumbnail(hit.image_id)} 1x, ${thumbnail(hit.image_id, 640)} 2x`,
    alt: "", width: Math.round(shape * 200), height: 200, loading: place < EAGER ? "eager" : "lazy", decoding: "async",
  });
  const tile = element(
    "a",
    { class: "tile", href, dataset: { id: hit.image_id }, tabindex: -1, "aria-label": nameOf(hit), title: hit.path },
    picture,
    captionOf(hit, features),
  );
  picture.addEventListener("error", () => tile.classList.add("broken"), { once: true });
  return element("li", { style: { "--shape": shape.toFixed(4) } }, tile);
}

function nameOf(hit) {
  return hit.score === null ? fileName(hit.path) : `${fileName(hit.path)}, ${named(hit)}`;
}

function captionOf(hit, features) {
  const name = element("span", { class: "name" }, fileName(hit.path));
  if (hit.score === null) return element("span", { class: "caption", "aria-hidden": "true" }, name);
  return element(
    "span",
    { class: "caption", "aria-hidden": "true" },
    element("span", { class: "score", title: named(hit) }, hit.score.toFixed(3)),
    hit.likeness ? element("span", { class: "likeness soft", title: meaningOf(hit.likeness) }, hit.likeness) : null,
    name,
    partBars(hit, features),
  );
}

/** Return the score in digits and in a word. */
function named(hit) {
  return `score ${hit.score.toFixed(3)}${hit.likeness && `, ${hit.likeness}`}`;
}

/** Create a bar for the score of each feature, in the colours of the sliders. */
export function partBars(hit, features) {
  const bars = features.filter((name) => hit.parts[name]).map((name, at) => {
    const { score, distance, note } = hit.parts[name];
    return element(
      "i",
      {
        title: `${name}: ${note || `score ${digits(score)}, distance ${distance?.toPrecision(4)}`}`,
        style: { "--part": `var(--part-${at % 8})`, "--score": score ?? 0 },
      },
    );
  });
  return element("span", { class: "bars" }, ...bars);
}

/** Make one tile reachable by Tab (roving tabindex); arrow keys lead to the others. */
function rove(root, tile) {
  if (!tile) return;
  for (const other of root.querySelectorAll("a.tile[tabindex='0']")) other.tabIndex = -1;
  tile.tabIndex = 0;
}

/** Actions of keys on a hit. */
export const ACTIONS = { "+": "like", "=": "like", "-": "unlike", m: "more", Enter: "open" };

function keyed(event, root, act) {
  const tile = event.target.closest("a.tile");
  if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
  const to = neighbour(tile.parentElement, event.key, root);
  if (to) to.querySelector("a").focus();
  else if (ACTIONS[event.key]) act(ACTIONS[event.key], tile.dataset.id);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** Return the tile that a key leads to; up and down choose the nearest centre in the adjacent row. */
function neighbour(item, key, root) {
  if (key === "ArrowRight") return item.nextElementSibling;
  if (key === "ArrowLeft") return item.previousElementSibling;
  if (key === "Home") return root.firstElementChild;
  if (key === "End") return root.lastElementChild;
  if (key !== "ArrowDown" && key !== "ArrowUp") return null;
  const step = key === "ArrowDown" ? "nextElementSibling" : "previousElementSibling";
  const middle = (one) => one.offsetLeft + one.offsetWidth / 2;
  let row = null;
  let best = null;
  for (let other = item[step]; other; other = other[step]) {
    if (other.offsetTop === item.offsetTop) continue;
    row ??= other.offsetTop;
    if (other.offsetTop !== row) break;
    if (!best || Math.abs(middle(other) - middle(item)) < Math.abs(middle(best) - middle(item))) best = other;
  }
  return best;
}
