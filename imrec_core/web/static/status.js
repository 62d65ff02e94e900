/** The view "Status". */

import { element, fill } from "./dom.js";

export function mount(root) {
  fill(root, element("h1", {}, "Status"));
}

export function unmount() {}
