/**
 * The panel beside the map: selected points with actions, legend, and list of clusters.
 */

import { thumbnail } from "./api.js";
import { announce, counted, element, fill } from "./dom.js";
import { makeClusterList } from "./map_clusters.js";
import { middlemost } from "./map_points.js";

export const LIKES = 16; // maximum number of likes that a selection adds
const STRIP = 48; // thumbnails at first

/**
 * Create the panel. The callbacks are `onLike(indices)`, `onWithin()`, `onClear()`, `onOpen(index, among)` and
 * `onCluster(cluster)`.
 *
 * Returns {root, show, showNames}; `showNames` is called when the clusters have their names.
 */
export function makePanel(map, points, legend, { onLike, onWithin, onClear, onOpen, onCluster }) {
  const choice = element("section", { class: "choice", "aria-label": "Chosen pictures" });
  const clusters = makeClusterList(map, onCluster);
  const root = element(
    "aside",
    { class: "map-panel", "aria-label": "Chosen pictures and clusters" },
    choice,
    legend,
    clusters.root,
  );

  /** Show a selection {indices, label, polygon, cluster}; for null, how to make one. */
  function show(chosen) {
    clusters.press(chosen?.cluster ?? null);
    if (!chosen) return void fill(choice, element("h2", {}, "Choose pictures"), hint());
    const { indices, label } = chosen;
    const words = counted(indices.length, "picture");
    announce(`${words} ${label}`);
    const likes = Math.min(indices.length, LIKES);
    fill(
      choice,
      element("h2", {}, element("strong", { id: "chosen" }, words), ` ${label}`),
      element(
        "div",
        { class: "actions" },
        element(
          "button",
          {
            type: "button",
            class: "primary",
            id: "like-chosen",
            disabled: !likes,
            title: "The ones nearest to the centre",
            onclick: () => onLike(representatives(chosen)),
          },
          likes === 1 ? "Add to likes" : `Add ${likes === indices.length ? "them" : likes} to likes`,
        ),
        chosen.polygon && element(
          "button",
          {
            type: "button",
            id: "search-within",
            disabled: !indices.length,
            title: chosen.cluster ? "Search inside the outline of the cluster" : "Search only inside the line",
            onclick: onWithin,
          },
          "Search in here",
        ),
        element("button", { type: "button", class: "quiet", id: "clear-chosen", onclick: onClear }, "Clear"),
      ),
      indices.length ? strip(chosen) : element("p", { class: "soft" }, "There are no pictures inside the line."),
    );
  }

  function representatives({ indices, cluster }) {
    const medoid = cluster ? points.indexOf(cluster.image_id) : -1;
    const middle = middlemost(points, indices, LIKES);
    return medoid < 0 ? middle : [medoid, ...middle.filter((i) => i !== medoid)].slice(0, LIKES);
  }

  function strip({ indices }) {
    const among = middlemost(points, indices, indices.length);
    const pictures = element("ul", { class: "strip" });
    const more = element("button", { type: "button", class: "quiet", onclick: add }, "Show more");
    let count = 0;
    function add() {
      const added = among.slice(count, (count += STRIP));
      pictures.append(...added.map((i, k) => stripItem(i, among, count - STRIP + k)));
      more.hidden = count >= among.length;
    }
    add();
    return [pictures, more];
  }

  function stripItem(i, among, place) {
    const picture = element(
      "img",
      { src: thumbnail(points.idOf(i), 160), alt: "", width: 72, height: 72, loading: "lazy" },
    );
    picture.addEventListener("error", () => picture.classList.add("missing"));
    const label = `Picture ${place + 1} of ${among.length}, open`;
    return element(
      "li",
      {},
      element(
        "button",
        { type: "button", class: "quiet", "aria-label": label, onclick: () => onOpen(i, among) },
        picture,
      ),
    );
  }

  show(null);
  return { root, show, showNames: clusters.showNames };
}

function hint() {
  return element(
    "p",
    { class: "soft" },
    "Draw a line around pictures with the lasso, or by dragging with ",
    element("kbd", {}, "Shift"),
    " held down; or choose a cluster below.",
  );
}
