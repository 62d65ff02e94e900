/** The help dialog: keyboard shortcuts and notes. */

import { dialog, element } from "./dom.js";

const EVERYWHERE = [
  ["?", "This help"],
  ["Esc", "Close the dialog"],
];

/** Show the dialog with `keys` of the current view, [keys separated by spaces, meaning] pairs, and its `notes`. */
export function showHelp({ keys = [], notes = [] } = {}) {
  const rows = [...keys, ...EVERYWHERE].map(([pressed, meaning]) =>
    element(
      "div",
      {},
      element("dt", {}, pressed.split(" ").flatMap((key) => [element("kbd", {}, key), " "])),
      element("dd", {}, meaning),
    ),
  );
  dialog(
    "Help",
    { class: "help" },
    element("h2", {}, "Keys"),
    element("dl", { class: "keys" }, ...rows),
    ...notes.map((words) => element("p", {}, words)),
  );
}
