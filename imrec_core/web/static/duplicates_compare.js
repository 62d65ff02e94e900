/** Dialog that compares two files of a group: side by side, or alternating in one place to show differences. */

import { dialog, element, fileName, fill } from "./dom.js";
import { bytes, dated } from "./duplicates_group.js";

/** Open the dialog with the copies of indices `at`; ← → change the right one, the space bar alternates. */
export function compareLarge(copies, at) {
  let [left, right] = at;
  let flipped = null; // index of the copy that is shown while both alternate
  const stage = element("div", { class: "compare-stage", tabindex: -1 });
  const flip = element(
    "button",
    { type: "button", "aria-pressed": "false", onclick: () => turn(flipped === null ? left : null) },
    "Alternate in one place",
  );
  const other = element(
    "button",
    { type: "button", onclick: () => turn(flipped === left ? right : left) },
    "Flip (space)",
  );
  const before = element(
    "button",
    { type: "button", "aria-label": "Compare with the previous file", onclick: () => step(-1) },
    "‹",
  );
  const after = element(
    "button",
    { type: "button", "aria-label": "Compare with the next file", onclick: () => step(1) },
    "›",
  );
  const bar = element("div", { class: "compare-bar" }, flip, other, copies.length > 2 ? [before, after] : null);
  const box = dialog("Compare two files", { class: "compare" }, bar, stage);
  box.addEventListener("keydown", (event) => {
    const act = {
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      " ": () => turn(flipped === left ? right : left),
    }[event.key];
    if (!act || (event.key === " " && event.target.closest("button"))) return; // the space bar presses a focused button
    event.preventDefault();
    act();
  });

  function turn(to) {
    flipped = to;
    show();
  }

  /** Show the next of the other copies on the right. */
  function step(by) {
    do right = (right + by + copies.length) % copies.length;
    while (right === left && copies.length > 1);
    if (flipped !== null) flipped = right;
    show();
  }

  function show() {
    flip.setAttribute("aria-pressed", String(flipped !== null));
    other.hidden = flipped === null;
    stage.classList.toggle("flipping", flipped !== null);
    const seen = [...new Set([left, right])];
    fill(stage, ...seen.map((place) => figure(copies[place], flipped !== null && place !== flipped)));
  }

  show();
  stage.focus(); // instead of the close button
}

function figure(copy, isBehind) {
  const name = fileName(copy.path);
  return element(
    "figure",
    { class: isBehind ? "behind" : "" },
    element("img", { src: `/image/${copy.image_id}`, alt: name }),
    element(
      "figcaption",
      { class: "small" },
      element("strong", {}, name),
      ` ${copy.width} × ${copy.height}, ${bytes(copy.byte_size)}, ${dated(copy.mtime_ns)}`,
      copy.is_kept ? element("span", { class: "badge" }, "stays") : null,
    ),
  );
}
