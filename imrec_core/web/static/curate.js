/** The view "Curate": tabs for issues, outliers, labels, tags and files that could not be read. */

import { element, fill } from "./dom.js";
import { problem } from "./messages.js";
import { styles } from "./styles.js";

const TABS = [
  { path: "/issues", label: "Issues", load: () => import("./issues.js") },
  { path: "/issues/outliers", label: "Outliers", load: () => import("./outliers.js") },
  { path: "/issues/labels", label: "Labels", load: () => import("./label_issues.js") },
  { path: "/issues/tags", label: "Tags", load: () => import("./tags_view.js") },
  { path: "/issues/failures", label: "Failures", load: () => import("./failures.js") },
];
const STEPS = { ArrowRight: 1, ArrowLeft: -1 };

let view = null;

export const keys = [
  ["← →", "Previous, next tab, or picture"],
  ["Enter", "Open the picture"],
  ["m", "More like the picture"],
  ["h", "Hide the picture from these lists"],
];

export const notes = [
  "The limit of each issue follows from the pictures of the lake, within fixed bounds. “imrec issues” lists all.",
  "Hidden pictures have the tag “hidden”. Searches find them. Remove the tag under Tags to see them here again.",
  "“Try again” marks files that could not be read. The next “imrec build” reads them, and forgets the marks.",
];

export async function mount(root) {
  const mine = (view = { root, controller: new AbortController(), shown: "" });
  await styles("/static/curate.css");
  if (view !== mine) return;
  const links = TABS.map(({ path, label }) => element("a", { href: path }, label));
  const tabs = element("nav", { class: "tabs", "aria-label": "Curate", onkeydown: keyed }, ...links);
  Object.assign(view, { links, panel: element("div", { class: "tab-panel" }) });
  fill(root, element("h1", {}, "Curate"), tabs, view.panel);
  await update();
}

export function unmount() {
  view.controller.abort();
  view = null;
}

/** Show the tab of the address, unless it is shown already: links within the tab change the address, too. */
export async function update() {
  const address = location.pathname + location.search;
  if (!view.panel || address === view.shown) return;
  view.controller.abort();
  const { signal } = (view.controller = new AbortController());
  view.shown = address;
  const { panel, links } = view;
  const at = Math.max(0, TABS.findIndex(({ path }) => path === location.pathname));
  links.forEach((link, place) => {
    if (place === at) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  fill(panel, element("p", { class: "soft busy" }, "Loading …"));
  const tab = await TABS[at].load().catch(() => null);
  if (signal.aborted) return;
  if (tab) return tab.mount(panel, { signal, params: new URLSearchParams(location.search) });
  view.shown = "";
  fill(panel, problem("The tab cannot be loaded. Is “imrec serve” still running?", update));
}

/** Arrow keys on a tab open the next one. */
function keyed(event) {
  const at = view.links.indexOf(event.target);
  const last = view.links.length - 1;
  const to = { Home: 0, End: last }[event.key] ?? (event.key in STEPS ? at + STEPS[event.key] : -1);
  if (at < 0 || to < 0 || to > last || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  view.links[to].focus();
  view.links[to].click();
}
