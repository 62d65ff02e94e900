/** Selecting in the view "Search": joins the selection, the tiles of the grid and the bar. */

import { isOvertaken, post } from "./api.js";
import { announce, counted, element, toast } from "./dom.js";
import { selection } from "./selection.js";
import { makeBar } from "./selection_bar.js";
import { isForView, sayFull, selectTiles } from "./selection_tiles.js";
import { currentSearch, requestOf } from "./state.js";
import { filesOf } from "./uploads.js";

/** Keys of the selection, for the help. */
export const SELECTION_KEYS = [
  ["x Space", "Select the picture, or unselect it"],
  ["Shift ← → ↑ ↓", "Select from the picture to the next"],
  ["Ctrl a", "Select all hits; on a Mac with Cmd"],
  ["Esc", "Clear the selection"],
];

const GAP = 12; // pixels below the bar
const OTHER = { like: "unlike", unlike: "like" };

/**
 * Create the bar, and the button that begins a selection; let the tiles of `grid` be selected.
 *
 * `idsBetween(first, last)` resolves to the ids of places. `mostEntries` is the number of likes that a search may have,
 * and of unlikes. Calls `onEntries({like, unlike})` for a search with the selected pictures.
 */
export function makeSelecting({ grid, idsBetween, mostEntries, onEntries }) {
  const bar = makeBar({ onAll: selectAll, onEntries: addEntries, onClear: clear });
  const button = element(
    "button",
    { type: "button", id: "select", "aria-pressed": "false", title: "Select pictures by a click (x for one)" },
    "Select",
  );
  const tiles = selectTiles(grid, idsBetween, show);
  button.addEventListener("click", () => tiles.setMode(!tiles.isOn()));

  function addEntries(side) {
    const search = currentSearch();
    const ids = new Set(selection.ids());
    const others = (entries) => entries.filter((entry) => !ids.has(entry.image_id));
    const entries = [...others(search[side]), ...selection.ids().map((image_id) => ({ image_id }))];
    if (entries.length > mostEntries) {
      return toast(`A search takes at most ${counted(mostEntries, side)}, and this would be ${entries.length}`);
    }
    onEntries({ [side]: entries, [OTHER[side]]: others(search[OTHER[side]]) });
  }

  function clear() {
    const ids = selection.ids();
    tiles.setMode(false);
    tiles.forget();
    selection.clear();
    if (ids.length > 1) toast("Selection cleared", { label: "Undo", act: () => selection.replace(ids) });
    else announce("Selection cleared");
    if (document.activeElement === document.body) grid.focus();
  }

  function keyed(event) {
    if (!isForView(event) || event.altKey) return;
    const isCommand = event.ctrlKey || event.metaKey;
    if (event.key === "Escape" && !isCommand && !event.shiftKey) {
      if (bar.closeMenu()) return;
      if (selection.size || tiles.isOn()) clear();
    } else if (event.key === "a" && isCommand && !event.shiftKey) {
      event.preventDefault();
      selectAll().catch((error) => isOvertaken(error) || toast(error.message));
    }
  }

  function show(on) {
    button.setAttribute("aria-pressed", String(on));
    bar.show(on);
    grid.below = bar.root.hidden ? 0 : bar.root.offsetHeight + GAP; // moving the focus shows tiles above the bar
  }

  const unwatch = selection.watch(() => show(tiles.isOn()));
  document.addEventListener("keydown", keyed);
  show(false);
  return {
    bar: bar.root,
    button,
    /** Forget where a range would start: other hits are shown. */
    forget: tiles.forget,
    stop() {
      document.removeEventListener("keydown", keyed);
      document.documentElement.classList.remove("has-selection");
      unwatch();
      tiles.stop();
    },
  };
}

/** Select all hits of the search, as far as the server lists them. */
async function selectAll() {
  const search = currentSearch();
  if (filesOf(search).length) return; // its pictures are still being uploaded
  const { images, more } = await post("/api/search/ids", requestOf(search));
  if (currentSearch() !== search) return;
  const left = selection.set(images);
  if (left) return sayFull();
  if (more) toast(`The first ${counted(images.length, "hit")} are selected; the search has more`);
  else announce(`${counted(images.length, "hit")} selected, ${selection.size.toLocaleString("en")} in all`);
}
