/** A rectangle to search by: drawn on a picture with mouse, touch or keyboard; and the picture of the part inside. */

import { dialog, element, fill } from "./dom.js";
import { fitScale } from "./zoom.js";

const STEP = 0.01; // of the picture, of an arrow key
const LEAST = 0.02; // of each side
const CORNER = 22; // CSS pixels around a corner that resize
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const PART = 88; // pixels of the picture of a part

/**
 * Make the drawing of a rectangle on `picture` within `stage`. Calls `onBox([x, y, width, height])` with fractions of
 * the picture to search by them, and `onEnd()` when it ends without.
 */
export function makeCropper(stage, picture, { onBox, onEnd }) {
  let box = [0, 0, 1, 1];
  const said = element("p", { class: "small", role: "status" });
  const frame = element("div", {
    class: "crop-box", tabindex: 0, role: "application",
    "aria-label": "Part of the picture. Arrow keys move it, Shift with arrow keys resizes it, Enter searches by it.",
  });
  const search = element("button", { type: "button", class: "primary", onclick: done }, "Search by this part");
  const leave = element("button", { type: "button", "aria-keyshortcuts": "Escape", onclick: end }, "Cancel");
  const bar = element("div", { class: "crop-bar" }, said, search, leave);
  const field = element("div", { class: "crop" }, frame);
  const root = element("div", { class: "cropper", hidden: true }, field, bar);
  stage.append(root);
  listenToDrags(field, { placeOf, cornerOf, box: () => box, onBox: put });

  function start(from = null) {
    root.hidden = false;
    stage.classList.add("cropping");
    stage.style.setProperty("--bar", `${bar.offsetHeight}px`); // the picture makes room for it
    put(from ?? middle());
    frame.focus();
  }

  /** Return a box of half the visible part of the picture, which may not have made room for the bar yet. */
  function middle() {
    const [around, at] = [stage.getBoundingClientRect(), picture.getBoundingClientRect()];
    const side = (low, high, from, to) => {
      const [first, last] = [Math.max(low, from), Math.min(high, to)].map((place) => (place - low) / (high - low));
      return [first + (last - first) / 4, (last - first) / 2];
    };
    const [[x, width], [y, height]] = [
      side(at.left, at.right, around.left, around.right),
      side(at.top, at.bottom, around.top, around.bottom),
    ];
    return [x, y, width, height];
  }

  function stop() {
    root.hidden = true;
    stage.classList.remove("cropping");
  }

  function end() {
    stop();
    onEnd();
  }

  function done() {
    stop();
    const [x, y, width, height] = box;
    onBox(x || y || width < 1 || height < 1 ? box : null); // integers would be pixels
  }

  function put(changed) {
    box = bounded(changed);
    layout();
    const [x, y, width, height] = box.map((share) => `${Math.round(share * 100)} %`);
    fill(said, `${width} wide, ${height} high, from ${x} left, ${y} top`);
  }

  function layout() {
    if (root.hidden) return;
    const [around, at] = [field.getBoundingClientRect(), picture.getBoundingClientRect()];
    const [x, y, width, height] = box;
    frame.style.left = `${at.left - around.left + x * at.width}px`;
    frame.style.top = `${at.top - around.top + y * at.height}px`;
    frame.style.width = `${width * at.width}px`;
    frame.style.height = `${height * at.height}px`;
  }

  /** Return the place of a pointer in fractions of the picture. */
  function placeOf({ clientX, clientY }) {
    const at = picture.getBoundingClientRect();
    return [(clientX - at.left) / at.width, (clientY - at.top) / at.height];
  }

  /** Return the corner opposite of the one under a pointer, in fractions; null if it is over none. */
  function cornerOf({ clientX, clientY }) {
    const at = frame.getBoundingClientRect();
    const far = (place, low, high) => (Math.abs(place - low) <= CORNER ? 1 : Math.abs(place - high) <= CORNER ? 0 : -1);
    const ends = [far(clientX, at.left, at.right), far(clientY, at.top, at.bottom)];
    return ends.includes(-1) ? null : ends.map((end, axis) => box[axis] + end * box[axis + 2]);
  }

  return {
    start,
    stop,
    layout,
    isActive: () => !root.hidden,
    /** Take a key; all keys belong to the rectangle while it is drawn. */
    keyed(event) {
      const isButton = event.target.tagName === "BUTTON";
      if (event.key === "Escape") end();
      else if (event.key === "Enter" && !isButton) done();
      else if (MOVES[event.key]) put(moved(box, MOVES[event.key], event.shiftKey));
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
  };
}

/** Move a box by a step, or with `resizes` its lower right corner. */
function moved([x, y, width, height], [right, down], resizes) {
  if (resizes) return [x, y, Math.min(width + right * STEP, 1 - x), Math.min(height + down * STEP, 1 - y)];
  return [Math.min(x + right * STEP, 1 - width), Math.min(y + down * STEP, 1 - height), width, height];
}

/** Return a box inside the picture, of at least `LEAST`, in fractions of four digits. */
function bounded([x, y, width, height]) {
  const side = (start, length) => {
    const long = Math.min(Math.max(rounded(length), LEAST), 1);
    const from = Math.min(Math.max(rounded(start), 0), 1 - long);
    return [rounded(from), rounded(Math.min(long, 1 - from))];
  };
  const [[left, wide], [top, high]] = [side(x, width), side(y, height)];
  return [left, top, wide, high];
}

function rounded(share) {
  return Math.round(share * 10_000) / 10_000;
}

/** Listen to drags: from a corner they resize the box, inside they move it, elsewhere they draw a new one. */
function listenToDrags(field, { placeOf, cornerOf, box, onBox }) {
  let drag = null; // {fixed: corner that stays} or {from: place, box: before}
  field.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.stopPropagation(); // the picture does not pan
    event.preventDefault(); // keeps the focus on the rectangle
    field.setPointerCapture(event.pointerId);
    const place = placeOf(event).map(inside);
    const corner = cornerOf(event);
    const [x, y, width, height] = box();
    const isInside = place[0] > x && place[0] < x + width && place[1] > y && place[1] < y + height;
    if (corner) drag = { fixed: corner };
    else drag = isInside ? { from: place, before: box() } : { fixed: place };
    drag.pointer = event.pointerId;
  });
  field.addEventListener("pointermove", (event) => {
    if (drag?.pointer !== event.pointerId) return;
    const place = placeOf(event).map(inside);
    if (drag.fixed) return onBox(between(drag.fixed, place));
    const [x, y, width, height] = drag.before;
    onBox([x + place[0] - drag.from[0], y + place[1] - drag.from[1], width, height]);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    field.addEventListener(name, (event) => drag?.pointer === event.pointerId && (drag = null));
  }
}

function inside(share) {
  return Math.min(Math.max(share, 0), 1);
}

function between(a, b) {
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
}

/** Open a dialog to choose a part of any picture; calls `onBox(box)`, with null for the whole picture. */
export function openCropper(address, name, crop, onBox) {
  const picture = element("img", { src: address, alt: name, class: "large", draggable: "false" });
  const space = element("div", { class: "space" }, picture);
  const stage = element("div", { class: "stage" }, space);
  const shown = dialog(`Part of ${name}`, { class: "part-dialog" }, stage);
  const cropper = makeCropper(stage, picture, {
    onBox: (box) => (shown.close(), onBox(box)),
    onEnd: () => shown.close(),
  });
  const fit = () => {
    const [width, height] = [picture.naturalWidth, picture.naturalHeight];
    const scale = width ? fitScale({ width, height }, { width: space.clientWidth, height: space.clientHeight }) : 1;
    picture.style.width = `${width * scale}px`;
    picture.style.height = `${height * scale}px`;
    cropper.layout();
  };
  const watch = new ResizeObserver(fit);
  watch.observe(space);
  shown.addEventListener("close", () => watch.disconnect());
  shown.addEventListener("keydown", (event) => cropper.isActive() && cropper.keyed(event));
  picture.addEventListener("load", () => (fit(), cropper.start(isShares(crop) ? crop : null)));
}

/** Test whether a crop is in fractions; only then can it be drawn without the size of the picture. */
export function isShares(crop) {
  return Boolean(crop) && crop.some((number) => !Number.isInteger(number));
}

/** Create a small picture of a part, in fractions, of the picture at an address. */
export function partPicture(address, [x, y, width, height]) {
  const canvas = element("canvas", { class: "part", width: PART, height: PART, "aria-hidden": "true" });
  const whole = new Image();
  whole.addEventListener("load", () => {
    const [wide, high] = [width * whole.naturalWidth, height * whole.naturalHeight];
    const side = Math.min(wide, high); // a square in the middle, as thumbnails of the tray are cut
    const [left, top] = [x * whole.naturalWidth + (wide - side) / 2, y * whole.naturalHeight + (high - side) / 2];
    canvas.getContext("2d").drawImage(whole, left, top, side, side, 0, 0, PART, PART);
  });
  whole.src = address;
  return canvas;
}
