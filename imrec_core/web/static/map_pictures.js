/**
 * Thumbnails on the map: of visible points at high zoom, at their points; else of clusters, as bubbles beside the
 * points with a line to the middle of the cluster. None overlap.
 */

import { thumbnail } from "./api.js";
import { drawing, element } from "./dom.js";
import { boxAround, countOnScreen, freePlace, isOn, overlap } from "./map_room.js";

const NEAR = 150; // visible points, below which each may have a thumbnail
const SIDE = 68; // pixels of a thumbnail of a point
const GAP = 6;
const MOST = 40; // bubbles

/**
 * Create the thumbnails of a map. They take no events, so that dragging and zooming work over them. `covered()` are
 * boxes of the screen that other things cover, where no bubble stands.
 *
 * Returns {place, settle, mark, at, boxes}: `place` moves the thumbnails with the camera, `settle` chooses which to
 * show, `at` finds the one at a position of the screen, `boxes` returns the boxes of all, by cluster.
 */
export function makePictures(root, camera, points, clusters, covered) {
  const shown = new Map(); // key → {node, line, x, y, side, offset, zoom, point or cluster}
  const leads = drawing("svg", { class: "leads" });
  root.append(leads);
  let marked = [];
  const bySize = [...clusters].sort((a, b) => b.size - a.size);

  const middleOf = ({ x, y, offset = [0, 0] }) => {
    const [left, top] = camera.toScreen(x, y);
    return [left + offset[0], top + offset[1]];
  };

  function place() {
    for (const one of [...shown.values(), ...marked]) {
      const [left, top] = middleOf(one);
      one.node.style.transform = `translate(${Math.round(left - one.side / 2)}px, ${Math.round(top - one.side / 2)}px)`;
      if (!one.line) continue;
      const [x, y] = camera.toScreen(one.x, one.y);
      for (const [name, value] of Object.entries({ x1: left, y1: top, x2: x, y2: y })) {
        one.line.setAttribute(name, value.toFixed(2));
      }
    }
  }

  function settle() {
    const near = points.inBox(camera.box(), NEAR);
    const kept = near ? withRoom(near.map(ofPoint)) : bubbles();
    const keys = new Set(kept.map((one) => one.key));
    for (const key of [...shown.keys()]) if (!keys.has(key)) remove(key);
    for (const one of kept) {
      const known = shown.get(one.key);
      if (known) Object.assign(known, { offset: one.offset, zoom: camera.zoom });
      else add(one);
    }
    place();
  }

  function add(one) {
    const line = one.cluster ? drawing("line", { "data-cluster": one.cluster.cluster }) : null;
    shown.set(one.key, { ...one, zoom: camera.zoom, node: one.make(), line });
    root.append(shown.get(one.key).node);
    if (line) leads.append(line);
  }

  function remove(key) {
    shown.get(key).node.remove();
    shown.get(key).line?.remove();
    shown.delete(key);
  }

  function ofPoint(i) {
    const make = () => pictureNode(points.idOf(i), SIDE);
    return { key: `point-${i}`, x: points.x[i], y: points.y[i], side: SIDE, point: i, make };
  }

  /** Select thumbnails of points that do not overlap; those that are shown come first, so that they stay. */
  function withRoom(wanted) {
    const kept = [];
    wanted.sort((a, b) => shown.has(b.key) - shown.has(a.key));
    for (const one of wanted) {
      const box = boxAround(camera.toScreen(one.x, one.y), one.side);
      if (!kept.some((other) => overlap(box, other.box, GAP))) kept.push({ ...one, box });
    }
    return kept;
  }

  /** Place bubbles of the largest clusters in view; those that are shown keep their offset while the zoom is equal. */
  function bubbles() {
    const box = camera.box();
    const seen = bySize.filter(({ x, y }) => x >= box.left && x <= box.right && y >= box.bottom && y <= box.top);
    const counts = countOnScreen(camera, points);
    const [taken, kept] = [covered(), []];
    for (const cluster of seen.slice(0, MOST)) {
      const side = Math.round(36 + 18 * Math.sqrt(cluster.size / seen[0].size));
      const key = `cluster-${cluster.cluster}`;
      const middle = camera.toScreen(cluster.x, cluster.y);
      const offset = sameOffset(shown.get(key), middle, side, taken)
        ?? freePlace(middle, side, GAP, taken, camera.size(), counts);
      if (!offset) continue;
      taken.push(boxAround([middle[0] + offset[0], middle[1] + offset[1]], side));
      const make = () => pictureNode(cluster.image_id, side, cluster.size.toLocaleString("en"));
      kept.push({ key, x: cluster.x, y: cluster.y, side, offset, cluster, make });
    }
    return kept;
  }

  function sameOffset(known, [left, top], side, taken) {
    if (!known || known.zoom !== camera.zoom) return null;
    const box = boxAround([left + known.offset[0], top + known.offset[1]], side);
    return isOn(camera.size(), box) && !taken.some((other) => overlap(box, other, GAP)) ? known.offset : null;
  }

  /** Find the thumbnail at a position of the screen: {point: index} or {cluster}; null for none. */
  function at(left, top) {
    const isThere = (one) => {
      const [across, down] = middleOf(one);
      return Math.max(Math.abs(across - left), Math.abs(down - top)) <= one.side / 2;
    };
    return root.hidden ? null : ([...shown.values()].find(isThere) ?? null);
  }

  function boxes() {
    const all = root.hidden ? [] : [...shown.values()];
    return all.map((one) => ({ cluster: one.cluster, box: boxAround(middleOf(one), one.side) }));
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

  return { place, settle, mark, at, boxes };
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
