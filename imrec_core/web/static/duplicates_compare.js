/** Two files of a group, large: side by side, or one in place of the other, where the eye sees any difference. */

import { dialog, element, fileName, fill } from "./dom.js";
import { bytes, dated } from "./duplicates_group.js";

/** Open the dialog on two of the copies, by their places `at`; ← → change the right one, the space bar flips. */
export function compareLarge(copies, at) {
  let [left, right] = at;
  let flipped = null; // the place that is shown where both are in one
  const stage = element("div", { class: "compare-stage", tabindex: -1 });
  const flip = element(
    "button",
    { type: "button", "aria-pressed": "false", onclick: () => turn(flipped === null ? left : null) },
    "One in place of the other",
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
    if (!act || (event.key === " " && event.target.closest("button"))) return; // a button does what it says
    event.preventDefault();
    act();
  });

  function turn(to) {
    flipped = to;
    show();
  }

  /** The next of the others on the right. */
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
  stage.focus(); // and not the button that closes
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
