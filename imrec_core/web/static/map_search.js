/** From the map to the search: likes, a search within an area, and single pictures. */

import { isSame, marked, sideOf } from "./marks.js";
import { navigate } from "./router.js";
import { addressOf, BLANK, currentSearch } from "./state.js";

/** Add images to the likes of the current search, and go to it. */
export function searchLike(ids) {
  const search = currentSearch();
  const others = (entries) => entries.filter((entry) => !ids.includes(entry.image_id));
  const liked = ids.map((image_id) => ({ image_id }));
  navigate(addressOf({
    ...search,
    like: [...others(search.like), ...liked],
    unlike: others(search.unlike),
    open: null,
  }));
}

/** Limit the current search to the inside of a polygon of a map, and go to it. */
export function searchWithin(map, polygon) {
  navigate(addressOf({ ...currentSearch(), within: { map: map.name, polygon }, open: null }));
}

/**
 * Open an image in the dialog, which steps through `ids`; calls `onShow(place)` for each.
 *
 * Likes that are set there are searched for when it closes, if `isShown()` says that the map is still shown.
 */
export async function openAmong(ids, first, { onShow, isShown }) {
  const { openDetail } = await import("./detail.js");
  let place = first;
  let chosen = currentSearch();
  const go = (search) => (detail.close(), navigate(addressOf({ ...search, open: null })));
  const detail = openDetail({
    onAct(action, { image_id: id, crop }) {
      if (action === "more") return go({ ...BLANK, like: [{ image_id: id, crop: crop ?? undefined }] });
      chosen = { ...chosen, ...marked(chosen, action, id) };
      detail.mark(sideOf(chosen, id));
    },
    onStep: step,
    onFilter: (where) => go({ ...(isSame(chosen, currentSearch()) ? BLANK : chosen), where }),
    onClose: () => isShown() && !isSame(chosen, currentSearch()) && go(chosen),
  });
  step(0);
  function step(by) {
    if (!(place + by in ids)) return;
    place += by;
    const [mark, last] = [sideOf(chosen, ids[place]), place === ids.length - 1];
    detail.show({ image_id: ids[place] }, BLANK, [], { first: place === 0, last, mark });
    onShow(place);
  }
  return detail;
}
