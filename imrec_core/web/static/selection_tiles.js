/** Selecting in the grid: a checkbox on each tile, keys, ranges, and a long press by touch. */

import { isOvertaken } from "./api.js";
import { announce, counted, element, fileName, isTyping, toast } from "./dom.js";
import { isMoving } from "./grid_keys.js";
import { MOST, selection } from "./selection.js";

const LONG = 500; // milliseconds of a press that begins a selection
const STILL = 10; // pixels that a finger may move during it

const placeOf = (node) => Number(node.closest("li").dataset.place);

/**
 * Let the tiles of a grid be selected. `idsBetween(first, last)` resolves to the ids of places, also of those that have
 * not arrived. Returns {setMode, isOn, forget, stop}: in the mode of selecting, all checkboxes show, and a click on a
 * picture selects it; `forget` drops the start of a range, when other hits are shown.
 */
export function selectTiles(grid, idsBetween, onMode) {
  const { root } = grid;
  const names = new WeakMap(); // tile → its label while it is not selected
  const range = makeRange(idsBetween);
  let mode = false;

  function setMode(on) {
    mode = on;
    root.classList.toggle("selecting", on);
    onMode(on);
  }

  function decorate({ item, tile, hit }) {
    const on = selection.has(hit.image_id);
    let box = item.querySelector(".pick");
    if (!box) {
      box = element("input", { type: "checkbox", class: "pick", tabindex: -1, title: "Select (x)" });
      item.append(box);
    }
    box.checked = on;
    box.setAttribute("aria-label", `Select ${fileName(hit.path)}`);
    item.classList.toggle("selected", on);
    if (!names.has(tile)) names.set(tile, tile.getAttribute("aria-label"));
    tile.setAttribute("aria-label", on ? `${names.get(tile)}, selected` : names.get(tile));
  }

  function toggle(place) {
    const hit = grid.hitAt(place);
    if (!hit) return;
    const on = !selection.has(hit.image_id);
    range.start(place);
    const left = selection.set([hit.image_id], on);
    if (left) return sayFull();
    announce(`${fileName(hit.path)} ${on ? "selected" : "unselected"}, ${selection.size.toLocaleString("en")} in all`);
  }

  function clicked(event) {
    const [box, tile] = [event.target.closest(".pick"), event.target.closest("a.tile")];
    if (event.ctrlKey || event.metaKey || event.altKey || !(box || tile)) return;
    if (event.shiftKey) range.to(placeOf(event.target));
    else if (box || mode) toggle(placeOf(event.target));
    else return;
    if (!box) event.preventDefault();
    event.stopPropagation();
  }

  function keyed(event) {
    const tile = event.target.closest("li a.tile, li .waiting, li .pick");
    if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = placeOf(tile);
    if (event.key === "x" || event.key === "X" || (event.key === " " && !tile.matches(".pick"))) {
      event.preventDefault();
      event.stopPropagation();
      toggle(place);
    } else if (event.shiftKey && isMoving(event.key)) {
      range.begin(place);
    }
  }

  /** Extend the range to where the grid has moved the focus. */
  function moved(event) {
    if (!event.shiftKey || !isMoving(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (root.contains(document.activeElement)) range.to(placeOf(document.activeElement));
  }

  const press = longPress(root, (tile) => {
    setMode(true);
    toggle(placeOf(tile));
  });
  root.addEventListener("click", clicked, { capture: true });
  root.addEventListener("keydown", keyed, { capture: true });
  root.addEventListener("keydown", moved); // after the listener of the grid, which moves the focus
  const stops = [grid.decorate(decorate), selection.watch(() => grid.redecorate()), press];
  return {
    setMode,
    isOn: () => mode,
    forget: () => range.start(null),
    stop: () => stops.forEach((stop) => stop()),
  };
}

export function sayFull() {
  toast(`A selection has at most ${counted(MOST, "picture")}`);
}

/**
 * Ranges from the picture that was selected last. A range replaces the one before from the same start, so that
 * Shift with an arrow back makes it smaller again.
 */
function makeRange(idsBetween) {
  let [anchor, before, asked] = [null, null, 0];

  function start(place) {
    [anchor, before] = [place, null];
    asked += 1; // a range that is still on its way is no longer wanted
  }

  async function to(place) {
    if (anchor === null) anchor = place;
    before ??= selection.ids();
    const mine = (asked += 1);
    try {
      const ids = await idsBetween(Math.min(anchor, place), Math.max(anchor, place));
      if (mine !== asked) return;
      const left = selection.replace([...before, ...ids.filter(Boolean)]);
      if (left) sayFull();
      else announce(`${counted(selection.size, "picture")} selected`);
    } catch (error) {
      if (!isOvertaken(error)) toast(error.message);
    }
  }

  return { start, to, begin: (place) => (anchor ??= place) };
}

/** Call `act(tile)` after a long press by touch, in place of the click and the menu that would follow it. */
function longPress(root, act) {
  let [timer, from, fired, isTouch] = [0, null, false, false];
  const cancel = () => clearTimeout(timer);
  const listeners = {
    pointerdown: (event) => {
      [fired, isTouch] = [false, event.pointerType === "touch"];
      const tile = event.target.closest("a.tile");
      cancel();
      if (!tile || !isTouch) return;
      from = event;
      timer = setTimeout(() => {
        fired = true;
        act(tile);
      }, LONG);
    },
    pointermove: (event) => {
      if (from && Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) > STILL) cancel();
    },
    pointerup: cancel,
    pointercancel: cancel,
    contextmenu: (event) => isTouch && event.target.closest("a.tile") && event.preventDefault(),
    dragstart: (event) => isTouch && (event.preventDefault(), event.stopPropagation()),
    click: (event) => {
      if (!fired) return;
      fired = false;
      event.preventDefault();
      event.stopImmediatePropagation();
    },
  };
  for (const [name, listen] of Object.entries(listeners)) root.addEventListener(name, listen, { capture: true });
  return () => {
    cancel();
    for (const [name, listen] of Object.entries(listeners)) root.removeEventListener(name, listen, { capture: true });
  };
}

/** Call `act` for a key that is for the whole view: not while a text is written, or a dialog is open. */
export function isForView(event) {
  return !isTyping(event.target) && !document.querySelector("dialog[open]");
}
