/** Results of a search that runs in the background: its progress, then a grid of pictures. */

import { get, isOvertaken } from "./api.js";
import { announce, counted, element, fill } from "./dom.js";
import { pictureGrid, tagAllForm } from "./curate_grid.js";
import { problem } from "./messages.js";

const FIRST = 48; // pictures at first
const POLL = 1000; // milliseconds between requests while the search runs

/**
 * Search, show the progress in `root`, then the pictures.
 *
 * `noun` names one of them, `none` says that there is none; `onFound` is called with the first answer.
 */
export async function showNeighbours(root, asked) {
  const { path, parameters, signal, captionOf, noun, none, onFound = () => {} } = asked;
  try {
    if (!(await waited(root, path, parameters, signal))) return;
    const count = element("p", { class: "found" });
    const onTotal = (total) => (count.textContent = total ? counted(total, noun) : none);
    const grid = pictureGrid({ path, parameters, signal, captionOf, onTotal });
    fill(root, element("div", { class: "card-head" }, count, tagAllForm({ path, parameters, signal })), grid.root);
    const found = await grid.more(FIRST);
    if (!found) return;
    announce(count.textContent);
    root.querySelector(".tag-all").hidden = !found.total;
    onFound(found);
  } catch (error) {
    if (signal.aborted || isOvertaken(error)) return;
    fill(root, problem(error.message, () => showNeighbours(root, asked)));
  }
}

/** Wait for the end of the search; return false if the user has left. */
async function waited(root, path, parameters, signal) {
  const words = element("p", { class: "soft busy", role: "status" }, "Looking for neighbours …");
  const bar = element("progress", { "aria-label": "Compared pictures", max: 1, hidden: true });
  fill(root, words, bar);
  while (!signal.aborted) {
    const found = await get(path, { ...parameters, limit: 1 }, { signal });
    if (found.state === "done") return !signal.aborted;
    bar.hidden = !found.planned;
    bar.max = found.planned || 1;
    bar.value = found.done;
    words.textContent = progressOf(found);
    await new Promise((resolve) => setTimeout(resolve, POLL));
  }
  return false;
}

function progressOf({ done, planned, seconds_left: left }) {
  if (!planned) return "Waiting for another search …";
  const of = `Compared ${done.toLocaleString("en")} of ${counted(planned, "picture")}`;
  return left === null ? of : `${of}, about ${Math.max(1, Math.round(left))} s left`;
}
