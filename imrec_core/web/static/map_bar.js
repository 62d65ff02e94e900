/** The toolbar of the map: choice of map and colours, lasso, thumbnails and zoom. */

import { counted, element } from "./dom.js";

/**
 * Create the bar. `acts` are `onColour(by)`, `onMap(name)`, `onLasso()`, `onPictures()`, `onNames()`, `onHits()`,
 * `onZoom(steps)` and `onFit()`.
 *
 * Returns its `root`, the select `by` and the buttons `lasso`, `pictures`, `names` and `hits`.
 */
export function makeBar(map, count, { maps, colours }, acts) {
  const by = chooser("by", "Colour", colours, acts.onColour);
  const choice = maps.length > 1 ? chooser("map-name", "Map", maps.map(({ name }) => name), acts.onMap) : null;
  if (choice) choice.querySelector("select").value = map.name;
  const lasso = tool("lasso", "Lasso", "Draw a line around pictures", "l", acts.onLasso, false);
  const pictures = tool("pictures", "Pictures", "Show pictures beside the points", "p", acts.onPictures, true);
  const names = tool("names", "Names", "Show the names of clusters", "n", acts.onNames, true);
  const hits = tool("hits", "Hits", "Show the hits of the search, others pale", "h", acts.onHits, false);
  const zoom = element(
    "div",
    { class: "zoom" },
    tool("zoom-in", "+", "Zoom in", "+", () => acts.onZoom(1)),
    tool("zoom-out", "−", "Zoom out", "-", () => acts.onZoom(-1)),
    tool("fit", "Fit", "Show the whole map", "0", acts.onFit),
  );
  const about = `${counted(count, "picture")} by ${map.feature} (${map.method})`;
  const root = element(
    "div",
    { class: "map-bar" },
    choice, by, lasso, pictures, names, hits, zoom,
    element("span", { class: "soft small map-about" }, about),
  );
  return { root, by: by.querySelector("select"), lasso, pictures, names, hits };
}

/** Set whether a button of the bar is pressed. */
export function setPressed(button, isPressed) {
  button.setAttribute("aria-pressed", String(isPressed));
}

function chooser(id, label, values, onChoose) {
  const select = element(
    "select",
    { id, onchange: () => onChoose(select.value) },
    ...values.map((value) => element("option", { value }, value)),
  );
  return element("label", { class: "chooser" }, element("span", { class: "soft" }, label), select);
}

/** Create a button, named by its label and key: “Lasso (l)”; what it does is its title. */
function tool(id, label, does, key, act, isPressed = null) {
  const isWord = /^\w/.test(label);
  return element("button", {
    type: "button", id, title: `${does} (${key})`, onclick: act,
    "aria-label": isWord ? `${label} (${key})` : `${label} ${does}`,
    "aria-keyshortcuts": key, "aria-pressed": isPressed === null ? null : String(isPressed),
  }, label);
}
