/** The view "Map". */

import { element, fill } from "./dom.js";

export function mount(root) {
  fill(root, element("h1", {}, "Map"));
}

export function unmount() {}
