/** The view "Search": the query on the left, the hits on the right. */

import { ApiError, features, isOvertaken } from "./api.js";
import { openDetail } from "./detail.js";
import { announce, counted, element, fill, isTyping, toast } from "./dom.js";
import { makeFilter, makeOptions } from "./filter.js";
import { makeGrid } from "./grid.js";
import { legendButton, setLegend, showLegend } from "./legend.js";
import { nothing, problem } from "./messages.js";
import { byForText, hasText, makePresets } from "./presets.js";
import { setAddress } from "./router.js";
import { addressOf, currentSearch, isOfBest, keepSearch, REACH, searchOf } from "./state.js";
import { added, makeTray, takeFiles } from "./tray.js";
import { ask, fileEntry, filesOf, keepNames, tooMuch, withoutBadFiles } from "./uploads.js";
import { makeWeights } from "./weights.js";
import { encodesText, makeWords } from "./words.js";

const PAGE = 60; // hits per request
const DEEPEST = 10_000; // maximum of offset + k on the server

export const keys = [
  ["← → ↑ ↓", "Move among the pictures"],
  ["Enter", "Open the picture"],
  ["m", "More like this"],
  ["+", "Add to likes"],
  ["-", "Less like this"],
  ["s", "Say what scores mean"],
  ["/", "Go to the filter"],
  ["← →", "Previous, next picture in the dialog"],
];

let view = null; // the state of the view while it is mounted

export const notes = [
  `With a query, “Order by” and “Differ from one another” take the ${REACH} best hits as a whole, and show no others.`,
  "Without one, “Order by” orders all pictures.",
];

export async function mount(root, params) {
  const mine = (view = { controller: new AbortController(), answer: null, detail: null, stop: [] });
  const offered = await features().catch((error) => error);
  if (view !== mine) return;
  if (offered instanceof ApiError) {
    const again = () => mount(root, new URLSearchParams(location.search));
    return void fill(root, element("h1", { class: "unseen" }, "Search"), problem(offered.message, again));
  }
  view.offered = offered;
  build(root, offered);
  view.stop.push(takeFiles(takePictures), listen("keydown", keyed), watchEnd());
  update(params);
}

export function unmount() {
  view?.controller.abort();
  for (const stop of view?.stop ?? []) stop();
  view?.detail?.close();
  view = null;
}

/** Show the search of a URL, and the image that it has open. */
export function update(params) {
  if (!view.grid) return; // the features are still loading; `mount` reads the URL afterwards
  const search = searchOf(params);
  view.pushed = false;
  const same = view.answer && addressOf({ ...search, open: null }) === addressOf({ ...currentSearch(), open: null });
  if (same) {
    keepSearch({ ...currentSearch(), open: search.open });
    showOpened();
  } else take(search);
}

function build(root, offered) {
  setLegend(offered);
  const words = makeWords(offered, { onWords: addWords, onNames: (names) => change({ names }) });
  const tray = makeTray({ onChange: (entries) => change(entries), onFiles: takePictures });
  const weights = makeWeights(offered, (by, { sliding }) => change({ by }, { replace: sliding }));
  const presets = makePresets(offered, weights.root, (by) => change({ by }));
  const filter = makeFilter(offered.columns, (where) => where !== currentSearch().where && change({ where }));
  const options = makeOptions(offered.columns, (chosen) => change(chosen));
  const grid = makeGrid((hit) => addressOf({ ...currentSearch(), open: hit.image_id }), act);
  const wide = matchMedia("(min-width: 860px)");
  const settings = element(
    "details",
    { class: "settings", open: wide.matches },
    element("summary", {}, "Filter and options"),
    filter.root,
    options.root,
  );
  const panel = element(
    "aside",
    { class: "panel", "aria-label": "Query" },
    words.root,
    tray.root,
    presets.root,
    settings,
  );
  const said = element("p", { class: "said", id: "said" }, " ");
  const within = element("span", { class: "within" });
  const legend = legendButton({ id: "legend", hidden: true, "aria-keyshortcuts": "s" });
  const message = element("div", { class: "message" });
  const end = element("div", { class: "end", "aria-hidden": "true" });
  const results = element(
    "section",
    { class: "results", "aria-label": "Results" },
    element("div", { class: "bar" }, said, legend, within),
    message,
    grid.root,
    end,
  );
  fill(root, element("h1", { class: "unseen" }, "Search"), element("div", { class: "search" }, panel, results));
  const fit = () => (settings.open = wide.matches);
  wide.addEventListener("change", fit);
  view.stop.push(() => wide.removeEventListener("change", fit));
  Object.assign(view, { words, tray, presets, weights, filter, options });
  Object.assign(view, { grid, said, legend, within, message, end, results });
}

function addWords(text) {
  const search = currentSearch();
  change({ ...added(search, "like", { text }), by: byForText(search.by, view.offered) });
}

/** Search with changes; add a history entry, except while a slider moves. */
function change(changed, { replace = false } = {}) {
  const search = { ...currentSearch(), ...changed, open: null };
  if (!filesOf(search).length) setAddress(addressOf(search), { replace });
  take(search);
}

/** Show a search in the controls, and run it. */
function take(search) {
  keepSearch(search);
  view.words.show(search);
  view.tray.show(search);
  view.presets.show(search);
  view.weights.show(search.by);
  view.filter.show(search.where);
  view.options.show(search);
  showWithin(search);
  run(search);
}

async function run(search) {
  view.controller.abort();
  const controller = (view.controller = new AbortController());
  const mine = view;
  mine.results.classList.add("busy");
  mine.results.setAttribute("aria-busy", "true");
  try {
    const { answer, search: sent } = await ask(search, { k: PAGE, offset: 0 }, { signal: controller.signal, onBusy });
    if (view !== mine || controller.signal.aborted) return;
    if (filesOf(search).length) arrived(sent);
    answered(answer);
  } catch (error) {
    if (!isOvertaken(error)) await failed(error, search);
  } finally {
    if (mine.controller === controller) {
      mine.results.classList.remove("busy");
      mine.results.removeAttribute("aria-busy");
    }
  }
}

/** Put the handles of uploads into the URL. */
function arrived(search) {
  keepSearch(search);
  setAddress(addressOf(search));
  view.tray.show(search);
}

function answered(answer) {
  const { grid, filter, message } = view;
  const hadFocus = grid.root.contains(document.activeElement) || view.detail?.isOpen();
  noticeGeneration(answer.generation);
  keepNames(answer.hits);
  view.answer = answer;
  view.reached = answer.hits.length;
  view.legend.hidden = !answer.hits.some((hit) => hit.likeness);
  filter.fail("");
  grid.clear();
  grid.append(answer.hits, answer.features);
  fill(message, answer.hits.length ? null : nothing(answer, currentSearch(), change));
  summarise();
  if (scrollY > 200) scrollTo({ top: 0 });
  showOpened();
  if (hadFocus && !currentSearch().open) grid.focus();
  view.reach();
}

function summarise() {
  const { answer, grid, said } = view;
  const count = summaryOf(answer, currentSearch(), grid.hits.size);
  const cut = answer.cut ? `, ${answer.cut.toLocaleString("en")} too far` : "";
  const took = `${Math.max(1, Math.round(answer.seconds * 1000))} ms`;
  const how = element("span", { class: "soft small plan", title: answer.plan }, took);
  const notes = answer.notes.map((note) => `; ${note}`).join("");
  fill(said, element("strong", {}, count + cut), notes, " ", how);
  announce((answer.no_good_match ? "No good match" : count + cut) + notes);
}

/** Summarise the number of hits, as far as known, and how they are ordered. */
function summaryOf({ features, reached, more }, search, size) {
  if (!isOfBest(search)) {
    const one = features.length ? "hit" : "picture";
    return `${size.toLocaleString("en")}${more ? "+" : ""} ${size === 1 ? one : `${one}s`}`;
  }
  const best = reached < REACH ? counted(reached, "hit") : `The ${REACH} best hits`;
  const differing = search.diversify ? ", chosen to differ" : "";
  return best + differing + (search.order_by ? `, ordered by ${search.order_by}` : "");
}

async function failed(error, search) {
  const mine = view;
  if (error.kind === "BadFilter") {
    mine.filter.fail(error.message);
    fill(mine.said, "The filter cannot be used.");
    announce(`The filter cannot be used: ${error.message}`);
    if (mine.answer) mine.answer = { ...mine.answer, more: false }; // the hits are of the search before
    return;
  }
  if (filesOf(search).length && error.status >= 400 && error.status < 500) {
    const { search: rest, reasons } = await withoutBadFiles(search);
    if (view !== mine || currentSearch() !== search) return;
    if (reasons.length) {
      take(rest);
      for (const words of reasons) toast(words);
      return;
    }
  }
  mine.grid.clear();
  mine.legend.hidden = true;
  mine.answer = null;
  fill(mine.said, "No answer");
  fill(mine.message, problem(error.message, () => run(currentSearch())));
  if (hasText(search) && !encodesText(mine.offered)) mine.words.showHint();
}

function onBusy(seconds) {
  if (view) fill(view.said, `The server is busy; trying again in ${counted(seconds, "second")} …`);
  announce("The server is busy; trying again");
}

/** Reload the features after a new generation was published. */
async function noticeGeneration(generation) {
  if (generation === view.offered.generation) return;
  view.offered = { ...view.offered, generation };
  toast("The lake has changed; showing the new generation.");
  setLegend(await features({ refresh: true }));
  document.dispatchEvent(new CustomEvent("imrec:generation"));
}

/** Load more hits before the end of the grid becomes visible. */
function watchEnd() {
  const seen = new IntersectionObserver(
    (entries) => entries.some((one) => one.isIntersecting) && loadMore(),
    { rootMargin: "1200px" },
  );
  seen.observe(view.end);
  view.reach = () => (seen.unobserve(view.end), seen.observe(view.end)); // makes the observer report again
  return () => seen.disconnect();
}

async function loadMore() {
  const { answer, controller, grid } = view;
  if (!answer?.more || view.loading === answer) return false;
  const mine = view;
  mine.loading = answer;
  try {
    const { answer: next } = await ask(
      currentSearch(),
      { k: Math.min(PAGE, DEEPEST - mine.reached), offset: mine.reached },
      { signal: controller.signal, onBusy },
    );
    if (view !== mine || mine.answer !== answer) return false;
    mine.reached += next.hits.length;
    mine.answer = { ...answer, more: next.more };
    keepNames(next.hits);
    grid.append(next.hits, answer.features);
    summarise();
    mine.reach();
    return true;
  } catch (error) {
    if (!isOvertaken(error)) toast(error.message);
    return false;
  } finally {
    mine.loading = null;
  }
}

function takePictures(files, side) {
  if (!files.length) return;
  const search = currentSearch();
  const wrong = tooMuch([...filesOf(search).map(({ file }) => file), ...files], view.offered.limits);
  if (wrong) return toast(wrong);
  change({ [side]: [...search[side], ...files.map(fileEntry)] });
}

/** Show what limits the search beside the filter: an area of the map, and names. */
function showWithin({ within, names }) {
  const chip = (words, title, changed) => element(
    "button",
    { type: "button", class: "chip", title, onclick: () => change(changed) },
    `${words} ✕`,
  );
  fill(
    view.within,
    within && chip(`Within an area of the map “${within.map}”`, "Search everywhere again", { within: null }),
    names && chip(`Names with “${names}”`, "Search all names again", { names: "" }),
  );
}

/** Run the action of a key or button on a hit. */
function act(action, hit) {
  if (action === "open") return open(hit.image_id);
  const search = { ...currentSearch(), open: null };
  if (action === "more") change({ ...search, like: [{ image_id: hit.image_id }], unlike: [], within: null });
  else change(added(search, action, { image_id: hit.image_id }));
}

function open(imageId, { replace = false } = {}) {
  keepSearch({ ...currentSearch(), open: imageId });
  view.pushed = view.pushed || !replace;
  setAddress(addressOf(currentSearch()), { replace });
  showOpened();
}

/** Open, update or close the dialog, as the search says. */
function showOpened() {
  const { open: imageId } = currentSearch();
  if (!imageId) {
    view.pushed = false;
    return view.detail?.close();
  }
  if (!view.detail?.isOpen()) view.detail = openDetail({ onAct: act, onStep: step, onClose: closed });
  const ids = [...view.grid.hits.keys()];
  const at = ids.indexOf(imageId);
  const hit = view.grid.hits.get(imageId) ?? { image_id: imageId };
  view.detail.show(
    hit,
    currentSearch(),
    view.answer.features,
    { first: at <= 0, last: at < 0 || (at === ids.length - 1 && !view.answer.more) },
  );
}

async function step(by) {
  const ids = () => [...view.grid.hits.keys()];
  const at = ids().indexOf(currentSearch().open) + by;
  if (at < 0 || (at >= ids().length && !(await loadMore()))) return;
  if (ids()[at]) open(ids()[at], { replace: true });
}

/** Remove the image from the URL after the dialog has closed, by a step back if that leads to the same search. */
function closed() {
  const search = currentSearch();
  if (!view || !search.open) return;
  keepSearch({ ...search, open: null });
  view.grid.focus(search.open);
  if (view.pushed) history.back();
  else setAddress(addressOf(currentSearch()), { replace: true });
  view.pushed = false;
}

function keyed(event) {
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") view.filter.root.closest("details").open = true;
  if (event.key === "/") view.filter.box.focus();
  else if (event.key === "s" && !view.legend.hidden) showLegend();
  else if (event.key.startsWith("Arrow") && document.activeElement === document.body) view.grid.focus();
  else return;
  event.preventDefault();
}

function listen(name, act) {
  document.addEventListener(name, act);
  return () => document.removeEventListener(name, act);
}
