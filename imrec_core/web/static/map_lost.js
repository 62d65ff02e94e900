/** Messages where there is nothing to see: no point in view, no map. */

import { element } from "./dom.js";
import { hasPoints } from "./map_camera.js";

/** Create the message; calls `onFit()` to show the whole map. `check` shows it while no point is in view. */
export function makeLost(camera, points, { onFit }) {
  const fit = element(
    "button",
    { type: "button", id: "fit-lost", title: "Show the whole map (0)", "aria-keyshortcuts": "0", onclick: onFit },
    "Fit (0)",
  );
  const root = element("div", { class: "map-lost", role: "status", hidden: true }, "Nothing here", " · ", fit);
  return { root, check: () => (root.hidden = hasPoints(camera, points)) };
}

/** Return the message of a lake without maps. */
export function noMap() {
  return element(
    "div",
    { class: "empty" },
    element("h2", {}, "There is no map yet"),
    element("p", {}, "A map places similar pictures near each other. Make one with:"),
    element("p", {}, element("code", {}, "imrec map")),
  );
}
