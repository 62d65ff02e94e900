/** The view "Status": sources, features, failures and the last runs. */

import { get, isOvertaken } from "./api.js";
import { counted, element, fill } from "./dom.js";
import { runsTable, duration } from "./status_runs.js";
import { styles } from "./styles.js";

const EVERY = 5000; // milliseconds between two requests

let view = null;

export async function mount(root) {
  const mine = (view = { root, controller: new AbortController(), timer: 0, said: "" });
  fill(root, element("h1", {}, "Status"), element("p", { class: "soft busy" }, "Loading …"));
  await styles("/static/status.css");
  if (view !== mine) return;
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
  const age = view.root.querySelector("#age");
  if (age) age.textContent = ago(status.built);
  if (said === view.said) return;
  view.said = said;
  const open = [...view.root.querySelectorAll("details[open]")].map((node) => node.id);
  const left = element("div", { class: "status-column" }, sources(status), failures(status), notRead(status));
  fill(
    view.root,
    element("h1", {}, "Status"),
    todo(status),
    element("div", { class: "status" }, generation(status), left, featureTable(status), runsTable(status.runs)),
  );
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
}

/** Suggest the next step. */
function todo(status) {
  const stale = status.features.filter((feature) => feature.stale);
  const shards = status.sources.filter((source) => source.stale);
  const away = status.sources.filter((source) => !source.reachable);
  if (!status.sources.length) return step("bad", "There is no image folder yet. Add one with ", "imrec build FOLDER");
  if (away.length) {
    const words = "cannot be reached; its pictures stay searchable. When it is reachable again, run ";
    return step("bad", `${namesOf(away)} ${words}`, "imrec build");
  }
  if (!status.generation) return step("bad", "There is no generation yet. Build one with ", "imrec build");
  if (shards.length) return step("warn", `Pictures of ${namesOf(shards)} have changed. Read them with `, "imrec build");
  if (stale.length) {
    const are = stale.length === 1 ? "is" : "are";
    return step("warn", `${namesOf(stale)} ${are} not up to date. Compute with `, "imrec build");
  }
  return step("good", "Everything up to the last scan is searchable. Scan for changes with ", "imrec build");
}

function step(kind, words, command) {
  return element("p", { class: `todo ${kind}`, id: "todo" }, words, element("code", {}, command));
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
        element("strong", { id: "age" }, ago(built)),
        element("span", { class: "soft", title: built ?? "" }, "built"),
      ),
      figure(maps?.length ? maps.join(", ") : "none", maps?.length === 1 ? "map" : "maps"),
    ),
  );
}

/** Format the age of a time of the server. */
function ago(when) {
  if (!when) return "never";
  const seconds = Math.max(0, (Date.now() - new Date(when)) / 1000);
  return seconds < 60 ? "just now" : `${duration(seconds)} ago`;
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

function featureTable({ features: rows }) {
  const items = rows.map(({ name, fresh, stale, why }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      element("td", {}, share(fresh, stale, fresh + stale)),
      element("td", { class: stale ? "warn" : "soft" }, why),
    ),
  );
  return section("Features", "features", table(["Name", "Shards", "Why not up to date"], items));
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

function failures({ failures: { total, reasons: rows } }) {
  if (!total) return section("Failures", "failures", element("p", { class: "soft" }, "Every picture could be read."));
  const items = rows.map(({ error, count, examples }, place) =>
    element(
      "details",
      { id: `failure-${place}`, open: place === 0 },
      element("summary", {}, element("strong", {}, count.toLocaleString("en")), ` ${error}`),
      element(
        "ul",
        { class: "small" },
        ...examples.map((path) => element("li", {}, path)),
        count > examples.length ? element("li", { class: "soft" }, `and ${count - examples.length} more`) : null,
      ),
    ),
  );
  return section(
    `${counted(total, "picture")} could not be read`,
    "failures",
    ...items,
    element("p", { class: "soft small" }, "All of them: ", element("code", {}, "imrec failures")),
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

function namesOf(some) {
  return some.map(({ name }) => name).join(", ");
}
