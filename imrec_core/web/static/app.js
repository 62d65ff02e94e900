/**
 * The shell: navigation between the views, help, and the size of the lake.
 *
 * A view is a module with `mount(root, params)`, which fills the element `root` by the parameters of the URL, and
 * `unmount()`, which stops its timers and requests. If it has `update(params)`, that is called when only the parameters
 * change; else the view is mounted again. The help shows its `keys`, [keys, meaning] pairs, and `notes`, sentences.
 */

import { features, get } from "./api.js";
import { counted, element, fill, isTyping, toast } from "./dom.js";
import { showHelp } from "./help.js";
import { lastAddress, navigate, onNavigate, remember } from "./router.js";

const VIEWS = {
  "/": { title: "Search", load: () => import("./search.js") },
  "/map": { title: "Map", load: () => import("./map.js") },
  "/duplicates": { title: "Duplicates", load: () => import("./duplicates.js") },
  "/issues": { title: "Curate", load: () => import("./curate.js") }, // with addresses of its tabs below it
  "/status": { title: "Status", load: () => import("./status.js") },
};

const LOOK_EVERY = 30_000; // milliseconds between two looks for a new generation

const root = document.getElementById("view");
let shown = { path: null, view: null };
let wanted = 0;

async function show({ pathname, search }) {
  const path = viewOf(pathname) ?? "/";
  const params = new URLSearchParams(search);
  const mine = ++wanted;
  remember();
  mark(path);
  if (path === shown.path && shown.view.update) return shown.view.update(params);
  const view = await VIEWS[path].load().catch(() => null);
  if (mine !== wanted) return; // the user has opened another view since
  if (!view) return toast(`${VIEWS[path].title} cannot be loaded. Is “imrec serve” still running?`);
  const moved = shown.path !== null && shown.path !== path;
  shown.view?.unmount();
  fill(root);
  root.className = `view-${VIEWS[path].title.toLowerCase()}`;
  shown = { path, view };
  await view.mount(root, params);
  if (moved) root.focus({ preventScroll: true });
}

/** Return the path of the view of an address, which may be that of a tab: `/issues` for `/issues/tags`. */
function viewOf(pathname) {
  return Object.keys(VIEWS).find((path) => pathname === path || (path !== "/" && pathname.startsWith(`${path}/`)));
}

function mark(path) {
  document.title = path === "/" ? "imrec" : `${VIEWS[path].title} – imrec`;
  for (const link of document.querySelectorAll("#views a")) {
    if (link.getAttribute("href") === path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Follow a link to a view without reloading the page. Views in the navigation keep their last URL. */
function follow(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  if (link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (!viewOf(link.pathname) || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  const inNavigation = link.closest("#views") && link.pathname !== location.pathname;
  navigate(inNavigation ? lastAddress(link.pathname) : link.href);
}

function keyed(event) {
  if (event.key !== "?" || isTyping(event.target) || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  showHelp(shown.view ?? {});
}

async function sayLake() {
  const { generation, rows } = await features();
  const lake = document.getElementById("lake");
  fill(lake, element("span", { title: `Generation ${generation}` }, counted(rows, "picture")));
}

/** Show that a build has published a generation, while the user is here. */
async function noticeGeneration() {
  if (document.visibilityState !== "visible") return;
  const [known, now] = await Promise.all([features(), get("/health")]);
  if (now.generation === known.generation) return;
  await features({ refresh: true });
  await sayLake();
  toast(`The lake has changed: ${counted(now.rows, "picture")} now.`);
}

document.addEventListener("click", follow);
document.addEventListener("keydown", keyed);
document.addEventListener("imrec:generation", sayLake);
document.getElementById("help").addEventListener("click", () => showHelp(shown.view ?? {}));
onNavigate(show);
show(location);
sayLake().catch((error) => toast(error.message));
setInterval(() => noticeGeneration().catch(() => {}), LOOK_EVERY); // without a server, the next action says so
