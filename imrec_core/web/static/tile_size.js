/** The size of the tiles, which this browser remembers. */

import { element } from "./dom.js";

const KEY = "imrec-tile-size";
const SIZES = { small: ["S", "Small", 0.65], medium: ["M", "Medium", 1], large: ["L", "Large", 1.75] };

let size = read();

/** Return the height of pictures that the grid aims at, in a window of some width. */
export function tallOf(width) {
  const medium = width <= 480 ? 108 : width < 860 ? 130 : Math.min(Math.max(132, width * 0.12), 190);
  return Math.round(medium * SIZES[size][2]);
}

/** Create the choice of a size; calls `onChange()` when it has changed. */
export function makeTileSize(onChange) {
  const buttons = Object.entries(SIZES).map(([name, [label, words]]) => element(
    "button",
    { type: "button", dataset: { size: name }, title: `${words} pictures`, "aria-label": `${label}, ${words}` },
    label,
  ));
  const show = () => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.size === size));
  };
  const root = element("div", { class: "tile-size", role: "group", "aria-label": "Size of pictures" }, ...buttons);
  root.addEventListener("click", (event) => {
    const chosen = event.target.closest("button")?.dataset.size;
    if (!chosen || chosen === size) return;
    size = chosen;
    keep();
    show();
    onChange();
  });
  show();
  return root;
}

function read() {
  try {
    const kept = localStorage.getItem(KEY);
    return Object.hasOwn(SIZES, kept ?? "") ? kept : "medium";
  } catch {
    return "medium"; // the browser keeps nothing for this page
  }
}

function keep() {
  try {
    localStorage.setItem(KEY, size);
  } catch {
    // the size holds until the page is closed
  }
}
