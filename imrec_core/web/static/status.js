/** The view "Status": sources, features, failures and the last runs. */

import { features, get, isOvertaken } from "./api.js";
import { counted, element, fill } from "./dom.js";
import { runsTable } from "./status_runs.js";
import { ago, summaryOf } from "./status_words.js";
import { styles } from "./styles.js";

const EVERY = 5000; // milliseconds between two requests

let view = null;

export async function mount(root) {
  const mine = (view = { root, controller: new AbortController(), timer: 0, said: "" });
  fill(root, element("h1", {}, "Status"), element("p", { class: "soft busy" }, "Loading …"));
  const [offered] = await Promise.all([features().catch(() => null), styles("/static/status.css")]);
  if (view !== mine) return;
  view.offered = offered;
  document.addEventListener("visibilitychange", look);
  await look();
}

export function unmount() {
  document.removeEventListener("visibilitychange", look);
  clearTimeout(view.timer);
  view.controller.abort();
  view = null;
}

/** Load the status now and at intervals, unless the page is hidden. */
async function look() {
  const mine = view;
  clearTimeout(view.timer);
  if (document.hidden) return;
  try {
    const status = await get("/api/status", {}, { signal: view.controller.signal });
    if (view === mine) show(status);
  } catch (error) {
    if (view === mine && !isOvertaken(error)) fault(error.message);
  } finally {
    if (view === mine) {
      clearTimeout(view.timer);
      view.timer = setTimeout(look, EVERY);
    }
  }
}

function fault(words) {
  view.root.querySelector(".status-fault")?.remove();
  view.root.querySelector(".busy")?.remove();
  view.root.querySelector("h1").after(element("p", { class: "error status-fault" }, words));
}

/** Render the status if it has changed; this keeps selections and open details in place. */
function show(status) {
  view.root.querySelector(".status-fault")?.remove();
  const said = JSON.stringify(status);
  for (const age of view.root.querySelectorAll(".age")) age.textContent = ago(status.built);
  if (said === view.said) return;
  view.said = said;
  const open = [...view.root.querySelectorAll("details[open]")].map((node) => node.id);
  const left = element("div", { class: "status-column" }, sources(status), failures(status), notRead(status));
  fill(
    view.root,
    element("h1", {}, "Status"),
    summaryOf(status, view.offered),
    element("div", { class: "status" }, generation(status), left, featureTable(status), runsTable(status.runs)),
  );
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
}

function section(title, id, ...children) {
  return element(
    "section",
    { class: "card", id, "aria-labelledby": `${id}-title` },
    element("h2", { id: `${id}-title` }, title),
    ...children,
  );
}

function generation({ generation: id, built, rows, maps }) {
  const figure = (value, words) => element(
    "div",
    {},
    element("strong", {}, value),
    element("span", { class: "soft" }, words),
  );
  return section(
    "Searchable now",
    "generation",
    element(
      "div",
      { class: "figures" },
      figure((rows ?? 0).toLocaleString("en"), "pictures"),
      figure(id ?? "none", "generation"),
      element(
        "div",
        {},
        element("strong", { id: "age", class: "age" }, ago(built)),
        element("span", { class: "soft", title: built ?? "" }, "built"),
      ),
      figure(maps?.length ? maps.join(", ") : "none", maps?.length === 1 ? "map" : "maps"),
    ),
  );
}

function sources({ sources: rows }) {
  const items = rows.map(({ name, reachable, images, shards, fresh, stale }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      element("td", { class: "number" }, images.toLocaleString("en")),
      element("td", {}, share(fresh, stale, shards)),
      element(
        "td",
        {},
        element("span", { class: reachable ? "good" : "bad" }, reachable ? "reachable" : "cannot be reached"),
      ),
    ),
  );
  return section("Sources", "sources", table(["Name", "Pictures", "Shards read", "Folder"], items, [1]));
}

/** One line if all features are fresh; else those that are not, with the reason, before the others. */
function featureTable({ features: rows }) {
  const [stale, fresh] = [rows.filter((one) => one.stale), rows.filter((one) => !one.stale)];
  const waiting = grouped(stale).map(({ names, fresh: done, stale: left, why }) => element(
    "tr",
    {},
    element("th", { scope: "row" }, names.join(", ")),
    element("td", {}, share(done, left, done + left)),
    element("td", { class: "warn" }, why),
  ));
  return section(
    "Features",
    "features",
    stale.length ? table(["Name", "Shards", "Why not up to date"], waiting) : null,
    fresh.length ? freshFeatures(fresh) : null,
  );
}

/** Join features that wait for the same reason. */
function grouped(stale) {
  const groups = new Map();
  for (const { name, fresh, stale: left, why } of stale) {
    const key = JSON.stringify([fresh, left, why]);
    if (!groups.has(key)) groups.set(key, { names: [], fresh, stale: left, why });
    groups.get(key).names.push(name);
  }
  return [...groups.values()];
}

function freshFeatures(rows) {
  const all = rows[0].fresh;
  const shards = `${all.toLocaleString("en")} of ${counted(all, "shard")}`;
  const about = rows.map(({ name, about: words }) => element(
    "tr",
    {},
    element("th", { scope: "row" }, name),
    element("td", {}, words),
  ));
  return element(
    "details",
    { id: "fresh-features" },
    element("summary", {}, `${counted(rows.length, "feature")}, fresh for ${shards}`),
    table(["Name", "What it describes"], about),
  );
}

/** Show `fresh` of `all` as a bar and in words. */
function share(fresh, stale, all) {
  const part = all ? (100 * fresh) / all : 0;
  return element(
    "div",
    { class: "share" },
    element("span", { class: "track", "aria-hidden": "true" }, element("span", { style: { width: `${part}%` } })),
    element(
      "span",
      { class: stale ? "warn" : "" },
      stale ? `${fresh} of ${all}, ${stale} stale` : `${fresh} of ${all}`,
    ),
  );
}

/** The kinds of failures; each leads to its files in the view "Curate". */
function failures({ failures: { total, kinds } }) {
  if (!total) return null;
  const items = kinds.map(({ kind, title, files }) => element(
    "li",
    {},
    element("a", { href: `/issues/failures?kind=${kind}` }, title),
    `: ${files.toLocaleString("en")}`,
  ));
  return section(
    `${counted(total, "file")} could not be read`,
    "failures",
    element("ul", {}, ...items),
    element("a", { href: "/issues/failures" }, "Reasons, previews and another try"),
  );
}

/** Files that no build reads, by kind, with what would help. */
function notRead({ not_read: kinds }) {
  if (!kinds.length) return null;
  const rows = kinds.map(({ kind, files, hint }) => element(
    "tr",
    {},
    element("td", {}, kind),
    element("td", { class: "number" }, files.toLocaleString("en")),
    element("td", {}, hint),
  ));
  return section("Files that are not read", "not-read", table(["Kind", "Files", "What would help"], rows, [1]));
}

function table(heads, rows, numbers = []) {
  const cells = heads.map((head, place) => element(
    "th",
    { scope: "col", class: numbers.includes(place) ? "number" : "" },
    head,
  ));
  return element(
    "div",
    { class: "scrolls", tabindex: 0, role: "region", "aria-label": `Table: ${heads.join(", ")}` },
    element("table", {}, element("thead", {}, element("tr", {}, ...cells)), element("tbody", {}, ...rows)),
  );
}
