/** What stands in the place of pictures: that there are none, or what went wrong. */

import { counted, element } from "./dom.js";

/** Why an answer has no hits, and a way on; `change` is called with what the search is to have instead. */
export function nothing({ no_good_match: isNone, cut }, { max_false_match_rate: rate, where, within }, change) {
  const button = (label, changed) => element("button", { type: "button", onclick: () => change(changed) }, label);
  if (isNone) {
    const compared = counted(cut, "picture was compared", "pictures were compared");
    return empty(
      "No good match",
      `${compared}; none is near enough for a false match rate of ${rate}.`,
      button("Show the nearest all the same", { max_false_match_rate: null }),
    );
  }
  if (!where && !within) return empty("No pictures", "There is nothing in the lake that this could find.");
  return empty(
    "No picture passes the filter",
    where || "None lies in this area of the map.",
    button("Remove the filter", { where: "", within: null }),
  );
}

function empty(title, words, ...more) {
  return element("div", { class: "empty" }, element("h2", {}, title), element("p", {}, words), ...more);
}

/** What went wrong, in the words of the error, and a button that tries again. */
export function problem(words, again) {
  return element(
    "div",
    { class: "error", role: "alert" },
    element("p", {}, words),
    element("button", { type: "button", onclick: again }, "Try again"),
  );
}
