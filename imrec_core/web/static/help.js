/** The dialog that says what the keys do, and what else is worth knowing. */

import { dialog, element } from "./dom.js";

const EVERYWHERE = [
  ["?", "This help"],
  ["Esc", "Close what is open"],
];

/** Show it, with the `keys` of the view that is open, [keys separated by spaces, what they do], and its `notes`. */
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
