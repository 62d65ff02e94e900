/**
 * The selection: ids of pictures, which stay selected through other searches and views, and a reload of the tab, until
 * they are cleared.
 *
 * The page has one. It holds no more than `MOST`, as the server takes no more at a time.
 */

export const MOST = 10_000;

const KEY = "imrec-selection";

const chosen = new Set(kept()); // image_id, in the order of selection
const watchers = new Set();

function kept() {
  try {
    const ids = JSON.parse(sessionStorage.getItem(KEY));
    return Array.isArray(ids) ? ids : []; // another program at this address may store something else
  } catch {
    return []; // the browser stores nothing
  }
}

addEventListener("pagehide", () => {
  try {
    sessionStorage.setItem(KEY, JSON.stringify([...chosen]));
  } catch {
    // the browser stores nothing
  }
});

function changed() {
  for (const act of watchers) act();
}

export const selection = {
  get size() {
    return chosen.size;
  },
  has: (id) => chosen.has(id),
  ids: () => [...chosen],

  /** Select pictures, or with `on` false unselect them. Returns the number for which there was no room. */
  set(ids, on = true) {
    let left = 0;
    for (const id of ids) {
      if (!on) chosen.delete(id);
      else if (chosen.size < MOST) chosen.add(id);
      else if (!chosen.has(id)) left += 1;
    }
    changed();
    return left;
  },

  /** Select these pictures and no others. Returns the number for which there was no room. */
  replace(ids) {
    chosen.clear();
    return this.set(ids);
  },

  clear() {
    chosen.clear();
    changed();
  },

  /** Call `act()` after each change; returns a function that stops this. */
  watch(act) {
    watchers.add(act);
    return () => watchers.delete(act);
  },
};
