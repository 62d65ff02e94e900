/**
 * The points of a map in typed arrays, with a grid index for spatial queries.
 *
 * There is no object per point, so that half a million points take little memory.
 */

const PER_CELL = 8; // points, if evenly spread
const FINEST = 512; // cells along a side

/** Decode an array from base64 of little-endian numbers: `unpacked(text, Float32Array)`. */
export function unpacked(text, Kind) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return new Kind(bytes.buffer);
}

/**
 * Convert a response of `GET /api/map/NAME` to {count, x, y, cluster, idOf, indexOf, those, bounds, eachIn, inBox,
 * nearest, inside}. Points are identified by index; `bounds` is {left, right, bottom, top}, `those(is)` filters points,
 * `eachIn(box, visit)` visits those in and near a box.
 */
export function pointsOf(answer) {
  const x = unpacked(answer.x, Float32Array);
  const y = unpacked(answer.y, Float32Array);
  const cluster = unpacked(answer.cluster, Int32Array);
  const ids = unpacked(answer.ids, BigUint64Array);
  const bounds = boundsOf(x, y);
  return {
    count: x.length,
    x,
    y,
    cluster,
    bounds,
    idOf: (index) => ids[index].toString(16).padStart(16, "0"),
    indexOf: (imageId) => (/^[0-9a-f]{16}$/.test(imageId) ? ids.indexOf(BigInt(`0x${imageId}`)) : -1),
    those: (is) => Uint32Array.from({ length: x.length }, (_, i) => i).filter(is),
    ...gridOf(x, y, bounds),
  };
}

/** Return the bounding box of all points, or of those with these indices. */
export function boundsOf(x, y, indices = null) {
  const box = { left: Infinity, right: -Infinity, bottom: Infinity, top: -Infinity };
  const count = indices ? indices.length : x.length;
  for (let k = 0; k < count; k++) {
    const i = indices ? indices[k] : k;
    if (x[i] < box.left) box.left = x[i];
    if (x[i] > box.right) box.right = x[i];
    if (y[i] < box.bottom) box.bottom = y[i];
    if (y[i] > box.top) box.top = y[i];
  }
  return count ? box : { left: -1, right: 1, bottom: -1, top: 1 };
}

function gridOf(x, y, bounds) {
  const side = Math.max(1, Math.min(FINEST, Math.round(Math.sqrt(x.length / PER_CELL))));
  const [wide, high] = [bounds.right - bounds.left || 1, bounds.top - bounds.bottom || 1];
  const clamped = (cell) => Math.max(0, Math.min(side - 1, Math.floor(cell)));
  const column = (value) => clamped(((value - bounds.left) / wide) * side);
  const row = (value) => clamped(((value - bounds.bottom) / high) * side);
  const starts = new Uint32Array(side * side + 1);
  for (let i = 0; i < x.length; i++) starts[row(y[i]) * side + column(x[i]) + 1]++;
  for (let cell = 0; cell < side * side; cell++) starts[cell + 1] += starts[cell];
  const next = starts.slice();
  const items = new Uint32Array(x.length);
  for (let i = 0; i < x.length; i++) items[next[row(y[i]) * side + column(x[i])]++] = i;

  /** Call `visit` with the points of the cells that a box touches, until it returns false. */
  function visitBox({ left, right, bottom, top }, visit) {
    if (right < bounds.left || left > bounds.right || top < bounds.bottom || bottom > bounds.top) return;
    for (let r = row(bottom); r <= row(top); r++) {
      const end = starts[r * side + column(right) + 1];
      for (let k = starts[r * side + column(left)]; k < end; k++) if (visit(items[k]) === false) return;
    }
  }

  /** Return the indices of the points in a box; null for more than `most`. */
  function inBox(box, most = Infinity) {
    const found = [];
    visitBox(box, (i) => {
      if (x[i] >= box.left && x[i] <= box.right && y[i] >= box.bottom && y[i] <= box.top) found.push(i);
      return found.length <= most;
    });
    return found.length > most ? null : found;
  }

  /** Return the index of the nearest point within `radius` of a position; -1 for none. */
  function nearest(px, py, radius) {
    let [best, least] = [-1, radius * radius];
    visitBox({ left: px - radius, right: px + radius, bottom: py - radius, top: py + radius }, (i) => {
      const far = (x[i] - px) ** 2 + (y[i] - py) ** 2;
      if (far <= least) [best, least] = [i, far];
    });
    return best;
  }

  /** Return the indices of the points inside a polygon [[x, y], …], by the even-odd rule. */
  function inside(polygon) {
    const box = boundsOf(polygon.map((p) => p[0]), polygon.map((p) => p[1]));
    return Uint32Array.from((inBox(box) ?? []).filter((i) => isInside(x[i], y[i], polygon)));
  }

  return { eachIn: visitBox, inBox, nearest, inside };
}

function isInside(px, py, polygon) {
  let odd = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > py !== yj > py && px < ((xj - xi) * (py - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}

/** Return the `most` indices nearest to the centre of all (the median of each coordinate), nearest first. */
export function middlemost({ x, y }, indices, most) {
  const middle = (values) => Float64Array.from(indices, (i) => values[i]).sort()[indices.length >> 1];
  const [mx, my] = [middle(x), middle(y)];
  const far = (i) => (x[i] - mx) ** 2 + (y[i] - my) ** 2;
  return Array.from(indices, (i) => [far(i), i])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
    .slice(0, most)
    .map((pair) => pair[1]);
}

/** Return the corners of the convex hull of points (Andrew's monotone chain). */
export function outline({ x, y }, indices) {
  const sorted = Array.from(indices).sort((a, b) => x[a] - x[b] || y[a] - y[b]);
  const turn = (a, b, c) => (x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a]);
  const chain = (order) => {
    const corners = [];
    for (const i of order) {
      while (corners.length > 1 && turn(corners.at(-2), corners.at(-1), i) <= 0) corners.pop();
      corners.push(i);
    }
    return corners.slice(0, -1);
  };
  return [...chain(sorted), ...chain([...sorted].reverse())].map((i) => [x[i], y[i]]);
}
