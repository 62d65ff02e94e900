/** The view "Duplicates". */

import { element, fill } from "./dom.js";

export function mount(root) {
  fill(root, element("h1", {}, "Duplicates"));
}

export function unmount() {}
