/** The text box: words for a feature that encodes text; without one, names of files and folders. */

import { commandToCopy } from "./copy.js";
import { element } from "./dom.js";

const COMMANDS = [
  "pip install 'imrec[clip]'",
  "imrec models --fetch clip_vit_b32",
  "imrec build --features +clip_vit_b32",
];
const LONGEST = 100; // characters of names, so that their filter stays within the limit of the server

/** Test whether a feature of the lake encodes words. */
export function encodesText({ features }) {
  return features.some((feature) => feature.understands_text);
}

/** Create the text box; calls `onWords(text)` to search by words, or else `onNames(text)` to filter by names. */
export function makeWords(offered, { onWords, onNames }) {
  return encodesText(offered) ? wordsBox(onWords) : namesBox(onNames);
}

function wordsBox(onWords) {
  const box = element("input", {
    type: "search", id: "words", placeholder: "a red car on a beach", autocomplete: "off",
    "aria-label": "Search by words",
  });
  const send = () => {
    const text = box.value.trim();
    box.value = "";
    if (text) onWords(text);
  };
  box.addEventListener("keydown", (event) => event.key === "Enter" && send());
  const button = element("button", { type: "button", onclick: send }, "Add");
  return { root: element("div", { class: "words-box" }, box, button), show: () => {} };
}

function namesBox(onNames) {
  const box = element("input", {
    type: "search", id: "words", placeholder: "names of files and folders", autocomplete: "off", maxlength: LONGEST,
    spellcheck: "false", "aria-label": "Search names of files and folders",
  });
  const hint = wordsHint();
  let shown = "";
  const send = () => {
    const text = box.value.trim();
    if (text !== shown) onNames(text);
  };
  box.addEventListener("change", send);
  box.addEventListener("search", send); // the cross that empties the box
  box.addEventListener("keydown", (event) => event.key === "Enter" && send());
  const button = element("button", { type: "button", onclick: send }, "Find");
  return {
    root: element("div", { class: "names" }, element("div", { class: "words-box" }, box, button), hint),
    show({ names }) {
      shown = names;
      box.value = names;
    },
    showHint: () => (hint.open = true),
  };
}

/** Create the hint how a lake gets a feature that encodes words, with the commands to copy. */
function wordsHint() {
  const rows = COMMANDS.map((command) => element("li", {}, commandToCopy(command)));
  return element(
    "details",
    { class: "more", id: "words-hint" },
    element("summary", {}, "Find by what pictures show"),
    element(
      "p",
      { class: "small soft" },
      "No feature of this lake encodes words, so the box finds names of files and folders. ",
      "CLIP finds pictures by words such as “a red car”. Three commands, run where the lake is, add it:",
    ),
    element("ol", { class: "commands small" }, ...rows),
    element("p", { class: "small soft" }, "Then reload this page."),
  );
}
