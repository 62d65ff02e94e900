/**
 * The picture of a search that is open in a dialog, and the likes that are searched for when it closes.
 *
 * The address has both, so that a user who leaves the page, for the map or by a reload, finds them again.
 */

import { isOvertaken } from "./api.js";
import { openDetail } from "./detail.js";
import { toast } from "./dom.js";
import { joined } from "./facts.js";
import { isSame, marked, sideOf } from "./marks.js";
import { setAddress } from "./router.js";
import { addressOf, currentSearch, keepSearch } from "./state.js";

/**
 * Create what opens the pictures of a grid.
 *
 * `results()` are the {features, size} of the hits, `hitAt(place)` loads one, `onAct(action, hit)` gets the actions of
 * the dialog, and `onSearch(changes, {replace})` searches.
 */
export function makeOpened({ grid, results, hitAt, onAct, onSearch }) {
  let detail = null;
  let marks = null; // {like, unlike} that wait for the dialog to close
  let isPushed = false; // whether the step to the picture is an entry of the history
  let isStopped = false;

  const isOpen = () => Boolean(detail?.isOpen());
  const address = () => addressOf({ ...currentSearch(), ...marks });

  function open(imageId, { replace = false } = {}) {
    keepSearch({ ...currentSearch(), open: imageId });
    isPushed = isPushed || !replace;
    setAddress(address(), { replace });
    show();
  }

  /** Open, update or close the dialog, as the search says. */
  function show() {
    const { open: imageId } = currentSearch();
    if (!imageId) {
      isPushed = false;
      return detail?.close();
    }
    if (!isOpen()) detail = openDetail({ onAct, onStep: step, onFilter: filterBy, onClose: closed });
    const { features, size } = results();
    const place = grid.placeOf(imageId);
    const hit = grid.hitAt(place) ?? { image_id: imageId };
    const mark = sideOf({ ...currentSearch(), ...marks }, imageId);
    detail.show(hit, currentSearch(), features, { first: place <= 0, last: place < 0 || place === size - 1, mark });
  }

  async function step(by) {
    const { open: from } = currentSearch();
    const place = grid.placeOf(from);
    if (place < 0) return;
    try {
      const hit = await hitAt(place + by);
      if (hit && !isStopped && currentSearch().open === from) open(hit.image_id, { replace: true });
    } catch (error) {
      if (!isOvertaken(error)) toast(error.message);
    }
  }

  /** Filter by a fact of the open picture, and close it. */
  function filterBy(condition) {
    onSearch({ where: joined(currentSearch().where, condition) });
    detail.close();
  }

  /** Like or unlike the open picture. */
  function mark(side, { image_id: imageId }) {
    marks = marked({ ...currentSearch(), ...marks }, side, imageId);
    setAddress(address(), { replace: true });
    detail.mark(sideOf(marks, imageId));
  }

  /** Remove the image from the address after the dialog has closed, by a step back if that leads to the same search. */
  function closed() {
    if (isStopped) return;
    const search = currentSearch();
    const place = search.open ? grid.placeOf(search.open) : -1;
    if (place >= 0) grid.focus(place);
    if (marks && !isSame(search, marks)) return onSearch({}, { replace: Boolean(search.open) });
    marks = null;
    if (!search.open) return;
    keepSearch({ ...search, open: null });
    if (isPushed) history.back();
    else setAddress(address(), { replace: true });
    isPushed = false;
  }

  return {
    open,
    show,
    mark,
    isOpen,
    /** Return the likes and unlikes that wait, for a search that has them from now on. */
    takeMarks() {
      const taken = marks;
      marks = null;
      return taken;
    },
    /** Note that the user has moved in the history: a step back no longer leads to the search. */
    moved: () => (isPushed = false),
    stop() {
      isStopped = true;
      detail?.close();
    },
  };
}
