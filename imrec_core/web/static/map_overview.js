/** The overview: the whole map, small in a corner, with the view as a rectangle that can be dragged. */

import { element } from "./dom.js";
import { showsAll } from "./map_camera.js";

const SIDE = 140; // pixels of its longer side
const MARGIN = 6;
const DRAWN = 20_000; // points, at most
const INK = "rgb(140 142 152 / 80%)"; // visible on light and dark

/** Create the overview of a map; calls `onMove([x, y])` with the middle that the user drags the view to. */
export function makeOverview(camera, points, { onMove }) {
  const { bounds } = points;
  const [wide, high] = [bounds.right - bounds.left || 1, bounds.top - bounds.bottom || 1];
  const scale = (SIDE - 2 * MARGIN) / Math.max(wide, high); // pixels per unit of the plane
  const [width, height] = [wide * scale + 2 * MARGIN, high * scale + 2 * MARGIN].map(Math.ceil);
  const toLeft = (x) => MARGIN + (x - bounds.left) * scale;
  const toTop = (y) => MARGIN + (bounds.top - y) * scale;
  const canvas = element("canvas", { width: 2 * width, height: 2 * height });
  const view = element("span", { class: "overview-view" });
  const root = element(
    "div",
    { class: "overview", hidden: true, title: "Drag to move the view", "aria-hidden": "true" },
    canvas,
    view,
  );
  Object.assign(root.style, { width: `${width}px`, height: `${height}px` });
  draw();

  function draw() {
    const pen = canvas.getContext("2d");
    if (!pen) return;
    pen.scale(2, 2);
    pen.fillStyle = INK;
    const step = Math.max(1, Math.ceil(points.count / DRAWN));
    for (let i = 0; i < points.count; i += step) {
      pen.fillRect(toLeft(points.x[i]) - 0.5, toTop(points.y[i]) - 0.5, 1, 1);
    }
  }

  /** Show the rectangle of the view; hide all while the whole map is in view. */
  function place() {
    root.hidden = showsAll(camera, points);
    if (root.hidden) return;
    const box = camera.box();
    const [left, right] = [Math.max(0, toLeft(box.left)), Math.min(width, toLeft(box.right))];
    const [top, bottom] = [Math.max(0, toTop(box.top)), Math.min(height, toTop(box.bottom))];
    Object.assign(view.style, {
      width: `${Math.max(6, right - left)}px`,
      height: `${Math.max(6, bottom - top)}px`,
      transform: `translate(${left}px, ${top}px)`,
    });
  }

  function planeOf(event) {
    const box = root.getBoundingClientRect();
    const [left, top] = [event.clientX - box.left - root.clientLeft, event.clientY - box.top - root.clientTop];
    return [bounds.left + (left - MARGIN) / scale, bounds.top - (top - MARGIN) / scale];
  }

  let grip = null; // from the pointer to the middle of the view, while it is dragged

  root.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    root.setPointerCapture(event.pointerId);
    const [x, y] = planeOf(event);
    const box = camera.box();
    const isInside = x >= box.left && x <= box.right && y >= box.bottom && y <= box.top;
    grip = isInside ? [camera.target[0] - x, camera.target[1] - y] : [0, 0];
    onMove([x + grip[0], y + grip[1]]);
  });
  root.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const [x, y] = planeOf(event);
    onMove([x + grip[0], y + grip[1]]);
  });
  for (const name of ["pointerup", "pointercancel"]) root.addEventListener(name, () => (grip = null));

  return { root, place };
}
