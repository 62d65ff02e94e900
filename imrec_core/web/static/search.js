/** The view "Search". */

import { element, fill } from "./dom.js";

export function mount(root) {
  fill(root, element("h1", {}, "Search"));
}

export function unmount() {}
