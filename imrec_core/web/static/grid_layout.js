/**
 * Where the tiles of a grid lie, computed without their pictures.
 *
 * Every row has the same height and the same number of tiles, so the place of any tile follows from its number alone,
 * and the height of the grid from their count. Within a row the shapes of its pictures share the width.
 */

export const GAP = 8; // pixels between the tiles of a row
const ROW_GAP = 10;
const TALLEST = 15_000_000; // pixels of an element; Firefox draws nothing beyond 17.8 million, Chromium beyond 33.5
const [NARROWEST, WIDEST] = [0.6, 2.2]; // aspect ratios of tiles; others are cropped
const CROPPED = 1.6; // times a box is wider or narrower than its picture; beyond, the picture is shown whole

/** Return the aspect ratio that a tile gives its picture. */
export function shapeOf({ width, height }) {
  const ratio = width && height ? width / height : 4 / 3;
  return Math.min(Math.max(ratio, NARROWEST), WIDEST);
}

/**
 * Return the aspect ratio to plan columns by: between that of the first hits and the average of all, `mean`.
 *
 * The first hits alone would not do: after portraits may come landscapes, which their columns would crop or shrink.
 */
export function plannedShape(hits, mean) {
  if (!hits.length) return mean ?? 4 / 3;
  const first = hits.reduce((sum, hit) => sum + shapeOf(hit), 0) / hits.length;
  return mean ? (first + mean) / 2 : first;
}

/**
 * Lay out `total` tiles in `width` pixels.
 *
 * `tall` is the height of a picture that is aimed at, `shape` the average aspect ratio, `caption` the height below.
 * Returns the number of columns and rows, the heights `picture` and `row`, and `height`, that of all rows.
 */
export function layoutOf({ width, total, tall, shape, caption }) {
  const columns = Math.max(1, Math.round((width + GAP) / (tall * shape + GAP)));
  const natural = (width - (columns - 1) * GAP) / (columns * shape);
  const picture = Math.round(Math.min(Math.max(natural, tall * 0.75), tall * 1.35));
  const row = picture + caption + ROW_GAP;
  const rows = Math.ceil(total / columns);
  return { width, total, columns, rows, picture, caption, row, height: rows * row };
}

/** Return [{left, width, whole}] of the tiles of a row by their shapes; `whole` ones show the whole picture. */
export function boxesOf(shapes, { width, columns, picture }) {
  const free = width - (columns - 1) * GAP;
  const sum = shapes.reduce((total, shape) => total + shape, 0);
  const isFull = shapes.length === columns || sum * picture > free;
  const scale = isFull ? (width - (shapes.length - 1) * GAP) / sum : picture;
  let left = 0;
  return shapes.map((shape) => {
    const wide = shape * scale;
    const box = { left: Math.round(left), width: Math.round(left + wide) - Math.round(left), whole: false };
    const stretch = wide / (shape * picture);
    box.whole = stretch > CROPPED || stretch < 1 / CROPPED;
    left += wide + GAP;
    return box;
  });
}

/** Return the height of the element, and the factor from its scroll position to that in the layout. */
export function scaleOf({ height }, seen) {
  if (height <= TALLEST) return { tall: height, factor: 1 };
  return { tall: TALLEST, factor: (height - seen) / (TALLEST - seen) };
}

/** Return the first and the last place of the rows between two heights; -1 as the last if there is none. */
export function placesBetween({ row, columns, total }, above, below) {
  const first = Math.max(0, Math.floor(above / row)) * columns;
  const last = Math.min(total, Math.ceil(below / row) * columns) - 1;
  return { first: Math.min(first, Math.max(0, total - 1)), last };
}
