/** The legend of scores: what the words beside them mean, in this lake. */

import { dialog, element } from "./dom.js";

let words = []; // {word, max_false_match_rate}, the closest first
let pictures = 0;

/** Set the words of the lake, for `meaningOf` and the legend. */
export function setLegend(offered) {
  words = offered.likeness;
  pictures = offered.rows;
}

/** Explain a word in one sentence: `close: at most 1 in 1,000 random pairs of pictures is as close`. */
export function meaningOf(word) {
  const at = words.findIndex((one) => one.word === word);
  return at < 0 ? word : `${word}: ${pairsOf(at)} of pictures are as close`;
}

/** Create a button that opens the legend. */
export function legendButton(attributes = {}) {
  const shared = { type: "button", class: "quiet small", "aria-haspopup": "dialog", onclick: showLegend };
  return element("button", { ...shared, ...attributes }, "What scores mean");
}

/** Show the legend as a dialog. */
export function showLegend() {
  const rows = words.map(({ word }, at) => element(
    "tr",
    {},
    element("th", { scope: "row" }, word),
    element("td", {}, pairsOf(at)),
    element("td", {}, chanceOf(at)),
  ));
  const heads = ["Word", "As close by chance", `Of your ${pictures.toLocaleString("en")} pictures`];
  dialog(
    "What scores mean",
    { class: "legend" },
    element("h2", {}, "What scores mean"),
    element(
      "p",
      {},
      "A score says how rarely two random pictures of yours are as close as the query and the hit. ",
      "It is 1 for the same picture and falls to 0. It is not a percentage of likeness.",
    ),
    element(
      "table",
      { class: "small" },
      element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
      element("tbody", {}, ...rows),
    ),
    element(
      "p",
      {},
      "The last column tells how many pictures that have nothing to do with the query can be expected to get ",
      "the word or a better one. So among many pictures, look for better words.",
    ),
    element(
      "p",
      {},
      "With several features the score is their mean, the word goes by all of them together, and a bar below the hit ",
      "shows the score of each. The nearest hits come first, however weak they are.",
    ),
  );
}

/** Return the share of random pairs that get the word at a place, or a better one. */
function pairsOf(at) {
  const isLast = at === words.length - 1;
  const rate = words[isLast ? at - 1 : at].max_false_match_rate;
  return `${isLast ? "more than" : "at most"} 1 in ${Math.round(1 / rate).toLocaleString("en")} random pairs`;
}

/** Return the number of pictures of the lake that get the word, or a better one, by chance. */
function chanceOf(at) {
  if (at === words.length - 1) return "all others";
  const expected = words[at].max_false_match_rate * pictures;
  if (expected < 1) return "hardly any";
  return `up to ${Math.round(expected).toLocaleString("en")} by chance`;
}
