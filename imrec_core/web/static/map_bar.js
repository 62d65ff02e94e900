/** The toolbar of the map: choice of map and colours, lasso, thumbnails and zoom. */

import { counted, element } from "./dom.js";

/**
 * Create the bar. `acts` are `onColour(by)`, `onMap(name)`, `onLasso()`, `onPictures()`, `onZoom(steps)` and `onFit()`.
 *
 * Returns its `root`, the select `by` and the button `lasso`.
 */
export function makeBar(map, count, { maps, colours }, acts) {
  const by = chooser("by", "Colour", colours, acts.onColour);
  const names = maps.length > 1 ? chooser("map-name", "Map", maps.map(({ name }) => name), acts.onMap) : null;
  if (names) names.querySelector("select").value = map.name;
  const lasso = tool("lasso", "Lasso", "Draw a line around pictures (l)", acts.onLasso, pressable("l", false));
  const pictures = tool(
    "pictures",
    "Pictures",
    "Show pictures over the points (p)",
    acts.onPictures,
    pressable("p", true),
  );
  const zoom = element(
    "div",
    { class: "zoom" },
    tool("zoom-in", "+", "Zoom in (+)", () => acts.onZoom(1)),
    tool("zoom-out", "−", "Zoom out (-)", () => acts.onZoom(-1)),
    tool("fit", "Fit", "Show the whole map (0)", acts.onFit),
  );
  const about = `${counted(count, "picture")} by ${map.feature} (${map.method})`;
  const root = element(
    "div",
    { class: "map-bar" },
    names, by, lasso, pictures, zoom,
    element("span", { class: "soft small map-about" }, about),
  );
  return { root, by: by.querySelector("select"), lasso };
}

function pressable(key, isPressed) {
  return { "aria-pressed": String(isPressed), "aria-keyshortcuts": key };
}

function chooser(id, label, values, onChoose) {
  const select = element(
    "select",
    { id, onchange: () => onChoose(select.value) },
    ...values.map((value) => element("option", { value }, value)),
  );
  return element("label", { class: "chooser" }, element("span", { class: "soft" }, label), select);
}

function tool(id, label, title, act, more = {}) {
  return element("button", { type: "button", id, title, "aria-label": title, onclick: act, ...more }, label);
}
