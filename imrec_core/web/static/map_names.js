/** Names of clusters: from the server, in words, and as labels on the map. */

import { get } from "./api.js";
import { counted, element } from "./dom.js";
import { boxAround, isOn, overlap } from "./map_room.js";

const HEIGHT = 20; // pixels of a label
const WIDEST = 180;
const PADDING = 12;
const BESIDE = 22; // pixels from a bubble to the middle of its label, beyond half of the bubble
const MOST = 80; // labels

/** Add to each cluster its `name`, "" for none, and its `terms`. */
export async function loadNames(map, signal) {
  const answer = await get(`/api/map/${encodeURIComponent(map.name)}/names`, {}, { signal });
  const named = new Map(answer.clusters.map((one) => [one.cluster, one]));
  for (const cluster of map.clusters) {
    const { name = "", terms = [] } = named.get(cluster.cluster) ?? {};
    Object.assign(cluster, { name, terms });
  }
}

/** Return the name of a cluster with the share of its rarer term: `roses 93 %`; for one without a name, its size. */
export function titleOf({ name, terms, size }) {
  if (!name) return counted(size, "picture");
  return `${name} ${Math.round(100 * Math.min(...terms.map((term) => term.share)))} %`;
}

/** Explain a name: `Folder images/roses: 93 % of the cluster, 15 times as many as on the whole map`. */
export function reasonOf({ terms = [] }) {
  return terms.map(({ by, text, share, lift }) => {
    const what = `${by[0].toUpperCase()}${by.slice(1)} ${text}: ${Math.round(100 * share)} % of the cluster`;
    return `${what}, ${Number(lift.toPrecision(2))} times the share of the whole map`;
  }).join("\n");
}

/**
 * Create the labels of a map as a list of the clusters in view. They take no events, as the thumbnails.
 *
 * Returns {root, place, settle, at}, as `makePictures` does. `settle(boxes)` takes the boxes of the thumbnails: the
 * label of a cluster stands at its bubble, else over its points. Labels overlap nothing; larger clusters come first.
 */
export function makeLabels(camera, clusters) {
  const root = element("ul", { class: "map-names", "aria-label": "Clusters in view" });
  const pen = document.createElement("canvas").getContext("2d");
  const shown = new Map(); // cluster → {cluster, node, width, offset}
  const bySize = [...clusters].sort((a, b) => b.size - a.size);

  function widthOf(text) {
    if (pen) pen.font = `12px ${getComputedStyle(root).fontFamily}`;
    return Math.min(WIDEST, Math.ceil(pen ? pen.measureText(text).width : 7 * text.length) + PADDING);
  }

  function middleOf({ cluster, offset }) {
    const [left, top] = camera.toScreen(cluster.x, cluster.y);
    return [left + offset[0], top + offset[1]];
  }

  function place() {
    for (const one of shown.values()) {
      const [left, top] = middleOf(one);
      const corner = `${Math.round(left - one.width / 2)}px, ${Math.round(top - HEIGHT / 2)}px`;
      one.node.style.transform = `translate(${corner})`;
    }
  }

  function settle(boxes) {
    const bubbles = new Map(boxes.filter((one) => one.cluster).map(({ cluster, box }) => [cluster, box]));
    const taken = boxes.map((one) => one.box);
    const box = camera.box();
    const seen = bySize.filter(({ name, x, y }) => (
      name && x >= box.left && x <= box.right && y >= box.bottom && y <= box.top
    ));
    const wanted = new Map();
    for (const cluster of seen.slice(0, MOST)) {
      const width = shown.get(cluster)?.width ?? widthOf(titleOf(cluster));
      const found = room(cluster, width, bubbles.get(cluster), taken);
      if (!found) continue;
      taken.push(found.box);
      wanted.set(cluster, { cluster, width, offset: found.offset });
    }
    for (const [cluster, { node }] of shown) if (!wanted.has(cluster)) (node.remove(), shown.delete(cluster));
    for (const [cluster, one] of wanted) {
      const node = shown.get(cluster)?.node ?? element("li", { style: { width: `${one.width}px` } }, titleOf(cluster));
      if (!shown.has(cluster)) root.append(node);
      shown.set(cluster, { ...one, node });
    }
    place();
  }

  /** Find a free place for a label: below, above, right or left of the bubble; without one, over the points. */
  function room(cluster, width, bubble, taken) {
    const [x, y] = camera.toScreen(cluster.x, cluster.y);
    let places = [[x, y]];
    if (bubble) {
      const [left, top] = [(bubble.left + bubble.right) / 2, (bubble.top + bubble.bottom) / 2];
      const [down, across] = [bubble.bottom - top + BESIDE, bubble.right - left + width / 2 + 6];
      places = [[left, top + down], [left, top - down + 8], [left + across, top], [left - across, top]];
    }
    for (const middle of places) {
      const box = boxAround(middle, width, HEIGHT);
      if (isOn(camera.size(), box) && !taken.some((other) => overlap(box, other, 2))) {
        return { box, offset: [middle[0] - x, middle[1] - y] };
      }
    }
    return null;
  }

  /** Find the label at a position of the screen: {cluster}; null for none. */
  function at(left, top) {
    const isThere = (one) => {
      const [across, down] = middleOf(one);
      return Math.abs(across - left) <= one.width / 2 && Math.abs(down - top) <= HEIGHT / 2;
    };
    return [...shown.values()].find(isThere) ?? null;
  }

  return { root, place, settle, at };
}
