/** Thumbnails over the points: of visible points at high zoom, else of cluster medoids; none overlap. */

import { thumbnail } from "./api.js";
import { element } from "./dom.js";

const NEAR = 150; // visible points, below which each may have a thumbnail
const SIDE = 68; // pixels of a thumbnail
const GAP = 6;

/**
 * Create the thumbnails of a map. They take no events, so that dragging and zooming work over them.
 *
 * Returns {place, settle, mark, at}: `place` moves the thumbnails with the camera, `settle` chooses which to show,
 * `at` finds the one at a position of the screen.
 */
export function makePictures(root, camera, points, clusters) {
  const shown = new Map(); // key → {node, x, y, side, point or cluster}
  let marked = [];
  const bySize = [...clusters].sort((a, b) => b.size - a.size);

  function place() {
    for (const { node, x, y, side } of [...shown.values(), ...marked]) {
      const [left, top] = camera.toScreen(x, y);
      node.style.transform = `translate(${Math.round(left - side / 2)}px, ${Math.round(top - side / 2)}px)`;
    }
  }

  function settle() {
    const near = points.inBox(camera.box(), NEAR);
    const kept = withRoom(near ? ofPoints(near) : ofClusters());
    const keys = new Set(kept.map((one) => one.key));
    for (const [key, { node }] of shown) if (!keys.has(key)) (node.remove(), shown.delete(key));
    for (const one of kept) {
      if (shown.has(one.key)) continue;
      shown.set(one.key, { ...one, node: one.make() });
      root.append(shown.get(one.key).node);
    }
    place();
  }

  /** Return the candidates; visible thumbnails come first, so that they stay. */
  function ofPoints(indices) {
    const all = indices.map((i) => ({
      key: `point-${i}`,
      x: points.x[i],
      y: points.y[i],
      side: SIDE,
      point: i,
      make: () => pictureNode(points.idOf(i), SIDE),
    }));
    return all.sort((a, b) => shown.has(b.key) - shown.has(a.key));
  }

  function ofClusters() {
    const box = camera.box(SIDE / 2);
    const seen = bySize.filter(({ x, y }) => x >= box.left && x <= box.right && y >= box.bottom && y <= box.top);
    const largest = seen[0]?.size ?? 1;
    return seen.map((cluster) => {
      const side = Math.round(36 + 18 * Math.sqrt(cluster.size / largest));
      return {
        key: `cluster-${cluster.cluster}`,
        x: cluster.x,
        y: cluster.y,
        side,
        cluster,
        make: () => pictureNode(cluster.image_id, side, cluster.size.toLocaleString("en")),
      };
    });
  }

  /** Select thumbnails that do not overlap, the first of several, as many as fit the screen. */
  function withRoom(wanted) {
    const kept = [];
    for (const one of wanted) {
      const [left, top] = camera.toScreen(one.x, one.y);
      const isFree = kept.every((other) => {
        const room = (one.side + other.side) / 2 + GAP;
        return Math.abs(other.left - left) >= room || Math.abs(other.top - top) >= room;
      });
      if (isFree) kept.push({ ...one, left, top });
    }
    return kept;
  }

  /** Find the thumbnail at a position of the screen: {point: index} or {cluster}; null for none. */
  function at(left, top) {
    const isThere = ({ x, y, side }) => {
      const [across, down] = camera.toScreen(x, y);
      return Math.max(Math.abs(across - left), Math.abs(down - top)) <= side / 2;
    };
    return root.hidden ? null : ([...shown.values()].find(isThere) ?? null);
  }

  /** Mark these points with a ring. */
  function mark(indices) {
    for (const { node } of marked) node.remove();
    marked = indices.map((i) => ({
      node: element("span", { class: "ring" }),
      x: points.x[i],
      y: points.y[i],
      side: 26,
    }));
    root.append(...marked.map((one) => one.node));
    place();
  }

  return { place, settle, mark, at };
}

function pictureNode(imageId, side, badge = "") {
  const image = element(
    "img",
    { src: thumbnail(imageId, 160), alt: "", width: side, height: side, draggable: "false" },
  );
  image.addEventListener("error", () => image.classList.add("missing"));
  const kind = badge ? "pinned medoid" : "pinned";
  return element(
    "div",
    { class: kind, style: { width: `${side}px`, height: `${side}px` } },
    image,
    badge && element("span", { class: "size" }, badge),
  );
}
