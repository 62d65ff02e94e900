/** Messages in place of hits: empty results and errors. */

import { counted, element } from "./dom.js";

/** Explain why there are no hits, with a button that calls `change` with changes of the search. */
export function nothing({ no_good_match: isNone, cut }, { max_false_match_rate: rate, where, names, within }, change) {
  const button = (label, changed) => element("button", { type: "button", onclick: () => change(changed) }, label);
  if (isNone) {
    const compared = counted(cut, "picture was compared", "pictures were compared");
    return empty(
      "No good match",
      `${compared}; none is near enough for a false match rate of ${rate}.`,
      button("Show the nearest anyway", { max_false_match_rate: null }),
    );
  }
  if (!where && !names && !within) return empty("No pictures", "The lake has no pictures for this search.");
  if (names && !where && !within) {
    const words = "No path of a file or folder has all of these words.";
    return empty(`No picture is called “${names}”`, words, button("Show all pictures", { names: "" }));
  }
  const filters = [where, names && `names with “${names}”`].filter(Boolean);
  return empty(
    "No picture passes the filter",
    filters.join(", ") || "There are none in this area of the map.",
    button("Remove the filter", { where: "", names: "", within: null }),
  );
}

/** Name the search whose hits are still shown beside an error, with a button that runs it again. */
export function earlier({ where, names, order_by }, change) {
  const limits = [where && `the filter “${where}”`, names && `names with “${names}”`].filter(Boolean).join(" and ");
  const words = limits ? `These are the pictures of ${limits}.` : "These are the pictures without the filter.";
  const act = () => change({ where, names, order_by });
  const label = limits ? "Use that filter again" : "Remove the filter";
  const button = element("button", { type: "button", onclick: act }, label);
  return element("div", { class: "earlier" }, element("p", {}, words), button);
}

function empty(title, words, ...more) {
  return element("div", { class: "empty" }, element("h2", {}, title), element("p", {}, words), ...more);
}

/** Show the message of an error, with a button that retries. */
export function problem(words, again) {
  return element(
    "div",
    { class: "error", role: "alert" },
    element("p", {}, words),
    element("button", { type: "button", onclick: again }, "Try again"),
  );
}
