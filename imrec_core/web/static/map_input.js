/** Pointer and keys on the map. */

import { isTyping } from "./dom.js";

const STEP = 90; // pixels that an arrow key moves the map
const CLICK = 5; // pixels that a pointer may move in a click

export const keys = [
  ["← → ↑ ↓", "Move the map"],
  ["+ -", "Zoom in, zoom out"],
  ["0", "Show the whole map"],
  ["l", "Draw a line around pictures"],
  ["p", "Show or hide the pictures"],
  ["n", "Show or hide the names"],
  ["h", "Show the hits of the search, or all points"],
  ["Shift", "Hold while dragging to draw a line"],
  ["Esc", "Clear the selection"],
];

/**
 * Listen to the pointer on the stage. Calls `onClick(left, top)`, `onHover(left, top)` and `onLeave()`; there is no
 * click and no hover while `isDrawing()`. Returns a function that ends the hover.
 */
export function listenTo(stage, { onClick, onHover, onLeave, isDrawing }) {
  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  let pressed = null;
  let asked = 0;
  const listeners = {
    pointerdown: (event) => (pressed = at(event)),
    pointerup(event) {
      const [left, top] = at(event);
      const isStill = pressed && Math.hypot(left - pressed[0], top - pressed[1]) <= CLICK;
      pressed = null;
      if (isStill && !event.shiftKey && !isDrawing()) onClick(left, top);
    },
    pointermove(event) {
      cancelAnimationFrame(asked);
      if (event.buttons || event.pointerType === "touch" || isDrawing()) return;
      asked = requestAnimationFrame(() => onHover(...at(event)));
    },
    pointerleave: stop,
  };
  for (const [name, listen] of Object.entries(listeners)) stage.addEventListener(name, listen);
  function stop() {
    cancelAnimationFrame(asked);
    onLeave();
  }
  return stop;
}

/**
 * Listen to keys: arrows move the map while the stage has the focus, other keys act wherever the focus is. `acts` are
 * functions by key. Returns a function that ends it.
 */
export function listenToKeys(stage, drawn, acts) {
  const moves = {
    ArrowLeft: () => drawn.panBy(-STEP, 0),
    ArrowRight: () => drawn.panBy(STEP, 0),
    ArrowUp: () => drawn.panBy(0, -STEP),
    ArrowDown: () => drawn.panBy(0, STEP),
  };
  const zooms = {
    "+": () => drawn.zoomBy(0.5),
    "=": () => drawn.zoomBy(0.5),
    "-": () => drawn.zoomBy(-0.5),
    0: () => drawn.fit(),
  };
  function keyed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const act = (event.target === stage && moves[event.key]) || zooms[event.key] || acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
  document.addEventListener("keydown", keyed);
  return () => document.removeEventListener("keydown", keyed);
}
