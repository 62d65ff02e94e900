/** The bar of the selection: how many pictures are selected, and what can be done with them. */

import { element, fill, toast } from "./dom.js";
import { navigate } from "./router.js";
import { selection } from "./selection.js";
import { copyPaths, downloadText, downloadZip, sendSelection } from "./selection_actions.js";
import { openTagging } from "./selection_tags.js";

/** Create the bar; calls `onAll()`, `onEntries(side)` and `onClear()`. Returns {root, show(isOn), closeMenu}. */
export function makeBar({ onAll, onEntries, onClear }) {
  const count = element("strong", { class: "count" });
  const menu = downloads();
  const action = (label, title, act) =>
    element("button", { type: "button", title, onclick: (event) => run(event.currentTarget, act) }, label);
  const needy = [
    action("Like", "Add the selected pictures to the likes", () => onEntries("like")),
    action("Less like", "Find pictures less like the selected ones", () => onEntries("unlike")),
    action("Tag…", "Give a tag to the selected pictures, or take it away", openTagging),
    action("Copy paths", "Copy the paths of the selected pictures", copyPaths),
    action("Duplicates", "Show the groups of duplicates that the selected pictures are in", showDuplicates),
  ];
  const root = element(
    "section",
    { class: "selection", "aria-label": "Selection", hidden: true },
    count,
    element("div", { class: "acts" }, ...needy, menu),
    element(
      "div",
      { class: "ends" },
      action("Select all", "Select all hits of the search (Ctrl+A)", onAll),
      action("Clear", "Clear the selection (Esc)", onClear),
    ),
  );

  return {
    root,
    /** Show the number of selected pictures; hide the bar without any, except in the mode of selecting. */
    show(isOn) {
      const { size } = selection;
      root.hidden = !size && !isOn;
      document.documentElement.classList.toggle("has-selection", !root.hidden);
      fill(count, `${size.toLocaleString("en")} selected`);
      for (const one of needy) one.disabled = !size;
      menu.hidden = !size;
    },
    /** Close the menu of downloads; false if it was not open. */
    closeMenu() {
      if (!menu.open) return false;
      menu.open = false;
      menu.firstChild.focus();
      return true;
    },
  };
}

function downloads() {
  const entry = (label, hint, act) =>
    element(
      "button",
      { type: "button", class: "quiet", onclick: (event) => run(event.currentTarget, act) },
      label,
      element("span", { class: "soft small" }, hint),
    );
  const menu = element(
    "details",
    { class: "downloads" },
    element("summary", { class: "button", title: "Download the selected pictures, or lists of them" }, "Download"),
    element(
      "div",
      { class: "entries" },
      entry("CSV", "properties and tags", () => downloadText("csv", "imrec-pictures.csv")),
      entry("List of paths", "a text, one a line", () => downloadText("paths", "imrec-paths.txt")),
      entry("Zip", "the files", downloadZip),
    ),
  );
  menu.addEventListener("click", (event) => event.target.closest("button") && (menu.open = false));
  menu.addEventListener("focusout", (event) => menu.contains(event.relatedTarget) || (menu.open = false));
  return menu;
}

/** Run an action that may fail, once at a time. */
async function run(button, act) {
  if (button.ariaBusy === "true") return;
  button.ariaBusy = "true";
  try {
    await act();
  } catch (error) {
    toast(error.message);
  } finally {
    button.ariaBusy = null;
  }
}

async function showDuplicates() {
  const { selection: handle, images } = await sendSelection();
  if (images) navigate(`/duplicates?selection=${handle}`);
}
