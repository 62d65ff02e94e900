/** Tiles of the grid: a picture that links to its search, with name, score and the parts of the score. */

import { thumbnail } from "./api.js";
import { element, fileName } from "./dom.js";
import { meaningOf } from "./legend.js";
import { digits } from "./reasons.js";

const SIDES = [160, 320, 640]; // longer sides of thumbnails
const [LINE, PADDING, BAR, BAR_GAP] = [18, 3, 3, 2]; // pixels; those of search.css

/** Create the link of a hit; `isEager` if its thumbnail is loaded at once, before the others. */
export function tileOf(hit, features, href, isEager) {
  const picture = element("img", { alt: "", loading: isEager ? "eager" : "lazy", decoding: "async" });
  const tile = element(
    "a",
    { class: "tile", href, dataset: { id: hit.image_id }, tabindex: -1, "aria-label": nameOf(hit), title: hit.path },
    picture,
    captionOf(hit, features),
  );
  picture.addEventListener("error", () => tile.classList.add("broken"), { once: true });
  return tile;
}

/** Load the thumbnail of a tile in the size that its box needs; a smaller one is not loaded after a larger one. */
export function loadThumbnail(tile, longest) {
  const picture = tile.querySelector("img");
  const size = (pixels) => SIDES.find((side) => side >= pixels * 0.9) ?? SIDES.at(-1);
  const wanted = size(longest);
  if (wanted <= Number(picture.dataset.size ?? 0)) return;
  picture.dataset.size = wanted;
  const id = tile.dataset.id;
  picture.srcset = `${thumbnail(id, wanted)} 1x, ${thumbnail(id, size(longest * 2))} 2x`;
  picture.src = thumbnail(id, wanted);
}

/** Stop loading the thumbnail of a tile that is not shown any more. */
export function stopLoading(tile) {
  const picture = tile.querySelector("img");
  if (!picture || picture.complete) return;
  picture.removeAttribute("srcset");
  picture.removeAttribute("src");
}

/** Create what stands for a hit until it has arrived. It takes the focus, so that keys go on from it. */
export function placeholder(place, total) {
  const words = `Picture ${(place + 1).toLocaleString("en")} of ${total.toLocaleString("en")}, loading`;
  const attributes = { class: "waiting", role: "link", "aria-disabled": "true", tabindex: -1, "aria-label": words };
  return element("span", attributes);
}

/** Return the height of the captions of hits, in pixels; all tiles of an answer have the same. */
export function captionHeight(hits, features) {
  const lines = hits.some(({ likeness }) => likeness) ? 2 : 1;
  const bars = hits.some(({ score }) => score !== null) ? features.length : 0;
  return PADDING + lines * LINE + (bars && BAR_GAP + bars * (BAR + BAR_GAP));
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
function partBars(hit, features) {
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
