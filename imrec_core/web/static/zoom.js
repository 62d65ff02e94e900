/** Zoom and pan of the open picture: wheel, pinch, drag, double click and keys; at fit, swipes step. */

const LARGEST_FIT = 2; // times that a small picture is enlarged at fit; more only shows its pixels
const DEEPEST = 8; // times the size at 100 %
const PAN = 80; // CSS pixels of an arrow key
const SWIPE = 48; // CSS pixels sideways that make a swipe
const STEP = 1.5; // of the zoom keys
const LINE = 16; // CSS pixels of a line that a wheel reports
const DIRECTIONS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** Return the scale at which a picture fits into a space; sizes are {width, height}. */
export function fitScale(size, space) {
  return Math.min(space.width / size.width, space.height / size.height, LARGEST_FIT);
}

/**
 * Zoom a picture within its space. Calls `onSwipe(by)` with 1 or -1, and `onChange()` when the picture has moved.
 *
 * A scale is CSS pixels per pixel of the picture; at 100 % a pixel of the picture is one of the screen.
 */
export function makeZoom(space, picture, { onSwipe, onChange }) {
  let size = null; // of the picture in its pixels; null while it is not known
  let scale = 1;
  let isFit = true;
  let offset = [0, 0]; // of the centre of the picture from that of the space
  let swiped = 0;

  const room = () => ({ width: space.clientWidth, height: space.clientHeight });
  const fit = () => fitScale(size, room());
  const actual = () => 1 / devicePixelRatio;
  const isZoomed = () => Boolean(size) && !isFit && scale > fit() * 1.01;

  function apply() {
    picture.classList.toggle("unsized", !size);
    space.classList.toggle("zoomed", isZoomed());
    if (!size) return;
    if (isFit) [scale, offset] = [fit(), [0, 0]];
    const [width, height] = [size.width * scale, size.height * scale];
    const spare = [Math.max(0, (width - room().width) / 2), Math.max(0, (height - room().height) / 2)];
    offset = offset.map((by, axis) => Math.min(Math.max(by, -spare[axis]), spare[axis]));
    picture.style.width = `${width}px`;
    picture.style.height = `${height}px`;
    picture.style.translate = `calc(-50% + ${offset[0] + swiped}px) calc(-50% + ${offset[1]}px)`;
    onChange();
  }

  /** Set the scale; the point `at` of the space, from its centre, stays where it is. */
  function zoomTo(next, at = [0, 0]) {
    if (!size) return;
    const bounded = Math.min(Math.max(next, Math.min(scale, fit())), Math.max(DEEPEST * actual(), fit()));
    offset = offset.map((by, axis) => at[axis] - (at[axis] - by) * (bounded / scale));
    scale = bounded;
    isFit = Math.abs(scale / fit() - 1) < 0.01;
    apply();
  }

  const other = () => (Math.abs(fit() / actual() - 1) < 0.05 ? 2 * actual() : actual());

  function toggle(at) {
    if (!size) return;
    if (!isFit) return fitAgain();
    isFit = false;
    offset = at ? at.map((by) => by - by * (other() / scale)) : [0, 0];
    scale = other();
    apply();
  }

  function fitAgain() {
    [isFit, swiped] = [true, 0];
    apply();
  }

  function pan(by) {
    offset = offset.map((at, axis) => at + by[axis]);
    apply();
  }

  function fromCentre({ clientX, clientY }) {
    const box = space.getBoundingClientRect();
    return [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
  }

  space.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1);
      zoomTo(scale * Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.002)), fromCentre(event)); // a pinch sends ctrlKey
    },
    { passive: false },
  );
  space.addEventListener("dblclick", (event) => event.target.closest("button") || toggle(fromCentre(event)));
  listenToPointers(space, {
    fromCentre,
    isZoomed,
    onPan: pan,
    onPinch: (ratio, at) => zoomTo(scale * ratio, at),
    onDrag: (by) => ((swiped = by), apply()),
    onSwipe,
  });
  const watch = new ResizeObserver(apply);
  watch.observe(space);

  return {
    /** Show a picture at fit; `shown` is its size, null while it is not known. */
    show: (shown) => ((size = shown), fitAgain()),
    toggle,
    /** Zoom in or out by a step, about the centre. */
    by: (times) => zoomTo(scale * STEP ** times),
    /** Pan by an arrow key; returns whether the picture is zoomed, so that the key was used. */
    pan(key) {
      if (!DIRECTIONS[key] || !isZoomed()) return false;
      pan(DIRECTIONS[key].map((sign) => sign * PAN));
      return true;
    },
    /** Return the zoom in percent, and the words for what `toggle` does next. */
    state: () => (size
      ? { percent: percentOf(scale), next: isFit ? percentOf(other()) : "Fit" }
      : { percent: "", next: "100 %" }),
    stop: () => watch.disconnect(),
  };

  function percentOf(at) {
    return `${Math.round((at / actual()) * 100)} %`;
  }
}

/** Listen to drags of one pointer and to pinches of two. */
function listenToPointers(space, { fromCentre, isZoomed, onPan, onPinch, onDrag, onSwipe }) {
  const held = new Map(); // pointer → its place
  let start = null; // of a possible swipe

  space.addEventListener("pointerdown", (event) => {
    if (event.button || event.target.closest("button, a")) return;
    space.setPointerCapture(event.pointerId);
    held.set(event.pointerId, fromCentre(event));
    start = held.size === 1 && event.pointerType !== "mouse" && !isZoomed() ? fromCentre(event) : null;
    if (!start) onDrag(0);
  });
  space.addEventListener("pointermove", (event) => {
    if (!held.has(event.pointerId)) return;
    const before = [...held.values()];
    held.set(event.pointerId, fromCentre(event));
    const after = [...held.values()];
    if (held.size === 2) {
      const middle = (places) => places[0].map((at, axis) => (at + places[1][axis]) / 2);
      const apart = (places) => Math.hypot(places[0][0] - places[1][0], places[0][1] - places[1][1]);
      onPan(minus(middle(after), middle(before)));
      onPinch(apart(after) / Math.max(1, apart(before)), middle(after));
    } else if (start) onDrag(minus(after[0], start)[0]);
    else if (isZoomed()) onPan(minus(after[0], before[0]));
  });
  const released = (event) => {
    if (!held.delete(event.pointerId)) return;
    const [sideways, upright] = start ? minus(fromCentre(event), start) : [0, 0];
    if (start) onDrag(0);
    start = null;
    if (event.type === "pointerup" && Math.abs(sideways) > Math.max(SWIPE, Math.abs(upright))) {
      onSwipe(sideways < 0 ? 1 : -1);
    }
  };
  space.addEventListener("pointerup", released);
  space.addEventListener("pointercancel", released);
}

function minus(a, b) {
  return [a[0] - b[0], a[1] - b[1]];
}
