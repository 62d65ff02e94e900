/** Lasso: a line drawn around points by dragging, with the tool or with Shift. */

import { drawing } from "./dom.js";

const STEP = 4; // pixels between two corners
const MOST = 64; // corners of the polygon, as it is part of the URL
const DIGITS = 6; // as in URLs, so that the server gets the same polygon

/**
 * Let the user draw around points on an element. Calls `onDone(polygon)` with corners [[x, y], …] of the plane.
 *
 * Returns {show, place, arm}: `show` draws a polygon, or none for null; `arm` sets whether a drag without Shift draws.
 */
export function makeLasso(stage, camera, { onDone }) {
  const line = drawing("polygon", { class: "lasso" });
  const sheet = drawing("svg", { class: "lasso-sheet", "aria-hidden": "true" }, line);
  stage.append(sheet);
  let polygon = null;
  let armed = false;
  let path = null; // corners in pixels, while drawing

  function place() {
    const corners = path ?? polygon?.map(([x, y]) => camera.toScreen(x, y)) ?? [];
    line.setAttribute("points", corners.map(([left, top]) => `${left.toFixed(1)},${top.toFixed(1)}`).join(" "));
  }

  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  function start(event) {
    if (event.button || !(armed || event.shiftKey) || event.target.closest("button")) return;
    event.preventDefault();
    event.stopPropagation(); // else the map moves
    path = [at(event)];
    stage.setPointerCapture(event.pointerId);
  }

  function go(event) {
    if (!path) return;
    event.stopPropagation();
    const [left, top] = at(event);
    const [lastLeft, lastTop] = path.at(-1);
    if (Math.hypot(left - lastLeft, top - lastTop) >= STEP) path.push([left, top]);
    place();
  }

  function end(event) {
    if (!path) return;
    event.stopPropagation();
    const corners = simplified(path, MOST);
    path = null;
    if (corners.length < 3) return place();
    polygon = corners.map(([left, top]) => camera.toPlane(left, top).map((value) => Number(value.toPrecision(DIGITS))));
    place();
    onDone(polygon);
  }

  function cancel() {
    path = null;
    place();
  }

  const listeners = { pointerdown: start, pointermove: go, pointerup: end, pointercancel: cancel };
  for (const [name, listen] of Object.entries(listeners)) stage.addEventListener(name, listen, { capture: true });

  return {
    place,
    show(shown) {
      polygon = shown;
      place();
    },
    arm(does) {
      armed = does;
      stage.classList.toggle("armed", does);
    },
  };
}

/** Simplify a polygon to at most so many corners (Douglas & Peucker, with a growing tolerance). */
function simplified(corners, most) {
  for (let off = 1; ; off *= 1.5) {
    const kept = peucker(corners, off);
    if (kept.length <= most) return kept;
  }
}

function peucker(corners, off) {
  if (corners.length < 3) return corners;
  const [[ax, ay], [bx, by]] = [corners[0], corners.at(-1)];
  const length = Math.hypot(bx - ax, by - ay);
  let [farthest, most] = [0, -1];
  corners.forEach(([x, y], i) => {
    const far = length ? Math.abs((bx - ax) * (ay - y) - (ax - x) * (by - ay)) / length : Math.hypot(x - ax, y - ay);
    if (far > most) [farthest, most] = [i, far];
  });
  if (most <= off) return [corners[0], corners.at(-1)];
  return [...peucker(corners.slice(0, farthest + 1), off), ...peucker(corners.slice(farthest), off).slice(1)];
}
