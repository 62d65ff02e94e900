/** Keys that move the focus in the grid. */

const STEPS = {
  ArrowRight: () => 1,
  ArrowLeft: () => -1,
  ArrowDown: ({ columns }) => columns,
  ArrowUp: ({ columns }) => -columns,
  PageDown: ({ columns, row }, seen) => columns * Math.max(1, Math.floor(seen / row) - 1),
  PageUp: ({ columns, row }, seen) => -columns * Math.max(1, Math.floor(seen / row) - 1),
  Home: ({ total }) => -total,
  End: ({ total }) => total,
};

/** Test whether a key moves the focus. */
export function isMoving(key) {
  return Object.hasOwn(STEPS, key);
}

/**
 * Return the place that a key leads to from another, in a layout of which `seen` pixels are in view.
 *
 * Up and down keep the column, and stay where there is no further row; the last row may be shorter.
 */
export function placeAfter(place, key, layout, seen) {
  const { columns, total } = layout;
  const to = place + STEPS[key](layout, seen);
  if (key === "Home" || key === "End" || key === "ArrowLeft" || key === "ArrowRight") return within(to, total);
  if (to < 0) return place % columns;
  if (to < total) return to;
  const lastRow = Math.floor((total - 1) / columns);
  return Math.floor(place / columns) < lastRow ? Math.min(lastRow * columns + (place % columns), total - 1) : place;
}

function within(place, total) {
  return Math.min(Math.max(0, place), total - 1);
}
