/** Free room on the screen: places for bubbles and names that hide few points and nothing that is placed already. */

const CELL = 6; // pixels
const TRIED = 200; // candidate places
const STEP = 7; // pixels between turns of the spiral of candidates
const HIDDEN = 10_000; // pixels of distance that hiding no point is worth, times the share of hidden points
const EDGE = 6; // pixels from the edge of the screen

/** Test whether two boxes {left, top, right, bottom} are nearer than a gap. */
export function overlap(a, b, gap = 0) {
  return a.left < b.right + gap && b.left < a.right + gap && a.top < b.bottom + gap && b.top < a.bottom + gap;
}

/** Return the box around a middle. */
export function boxAround([left, top], width, height = width) {
  return { left: left - width / 2, right: left + width / 2, top: top - height / 2, bottom: top + height / 2 };
}

/** Test whether a box is on the screen, which has this size. */
export function isOn([width, height], box) {
  return box.left >= EDGE && box.top >= EDGE && box.right <= width - EDGE && box.bottom <= height - EDGE;
}

/** Return the boxes of the elements beside the stage that cover parts of it, in pixels of the stage. */
export function coveredIn(stage) {
  const { left: x, top: y } = stage.getBoundingClientRect();
  const shown = [...stage.parentElement.children].filter((node) => node !== stage && !node.hidden);
  return shown.map((node) => {
    const { left, right, top, bottom } = node.getBoundingClientRect();
    return { left: left - x, right: right - x, top: top - y, bottom: bottom - y };
  });
}

/** Count the points on the screen in cells. Returns {total, within}; `within(box)` counts those in a box. */
export function countOnScreen(camera, points) {
  const [width, height] = camera.size();
  const [columns, rows] = [Math.ceil(width / CELL) + 1, Math.ceil(height / CELL) + 1];
  const sums = new Uint32Array(columns * rows); // of all cells above and to the left
  let total = 0;
  points.eachIn(camera.box(), (i) => {
    const [left, top] = camera.toScreen(points.x[i], points.y[i]);
    const [column, row] = [Math.floor(left / CELL) + 1, Math.floor(top / CELL) + 1];
    if (column < 1 || row < 1 || column >= columns || row >= rows) return;
    sums[row * columns + column]++;
    total++;
  });
  for (let row = 1; row < rows; row++) {
    let along = 0;
    for (let column = 1; column < columns; column++) {
      along += sums[row * columns + column];
      sums[row * columns + column] = along + sums[(row - 1) * columns + column];
    }
  }
  const at = (column, row) => {
    const [inColumn, inRow] = [Math.max(0, Math.min(columns - 1, column)), Math.max(0, Math.min(rows - 1, row))];
    return sums[inRow * columns + inColumn];
  };
  const within = ({ left, top, right, bottom }) => {
    const [first, last] = [Math.floor(left / CELL), Math.ceil(right / CELL)];
    const [high, low] = [Math.floor(top / CELL), Math.ceil(bottom / CELL)];
    return at(last, low) - at(first, low) - at(last, high) + at(first, high);
  };
  return { total, within };
}

/**
 * Find the place for a square near a middle that overlaps nothing of `taken` and hides few points.
 *
 * Returns its offset from the middle [right, down]; null if there is none.
 */
export function freePlace(middle, side, gap, taken, size, counts) {
  let [best, least] = [null, Infinity];
  for (let k = 0; k < TRIED; k++) {
    const away = STEP * Math.sqrt(k);
    if (away >= least) break;
    const offset = [away * Math.cos(2.4 * k), away * Math.sin(2.4 * k)];
    const box = boxAround([middle[0] + offset[0], middle[1] + offset[1]], side);
    if (!isOn(size, box) || taken.some((other) => overlap(box, other, gap))) continue;
    const cost = away + (HIDDEN * counts.within(box)) / Math.max(counts.total, 1);
    if (cost < least) [best, least] = [offset, cost];
  }
  return best;
}
