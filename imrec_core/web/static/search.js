/** The view "Search": the query on the left, the hits on the right. */

import { ApiError, features, isOvertaken } from "./api.js";
import { keys as detailKeys } from "./detail.js";
import { announce, counted, element, fill, isTyping, toast } from "./dom.js";
import { makeFacets } from "./facets.js";
import { makeFilter, makeOptions } from "./filter.js";
import { makeGrid } from "./grid.js";
import { legendButton, setLegend, showLegend } from "./legend.js";
import { mapLink } from "./map_hits.js";
import { earlier, nothing, problem } from "./messages.js";
import { makeOpened } from "./opened.js";
import { makeOrder } from "./order.js";
import { makePages, PAGE } from "./pages.js";
import { byForText, hasText, makePresets } from "./presets.js";
import { setAddress } from "./router.js";
import { keepPlace, keptPlace, restorePlaces } from "./scroll_place.js";
import { makeSelecting, SELECTION_KEYS } from "./selecting.js";
import { addressOf, currentSearch, keepSearch, REACH, searchOf } from "./state.js";
import { sizeOf, summaryOf } from "./summary.js";
import { makeTileSize } from "./tile_size.js";
import { added, makeTray, takeFiles } from "./tray.js";
import { ask, fileEntry, filesOf, keepNames, tooMuch, withoutBadFiles } from "./uploads.js";
import { makeWeights } from "./weights.js";
import { encodesText, makeWords } from "./words.js";

export const keys = [
  ["← → ↑ ↓", "Move among the pictures"],
  ["PageUp PageDown", "Move by the height of the window"],
  ["Home End", "Go to the first, to the last picture"],
  ["Enter", "Open the picture"],
  ...SELECTION_KEYS,
  ["m", "More like this"],
  ["+", "Add to likes"],
  ["-", "Less like this"],
  ["s", "Say what scores mean"],
  ["/", "Go to the filter"],
  ...detailKeys,
];

let view = null; // the state of the view while it is mounted

export const notes = [
  `With a query, “Order” and “Differ from one another” take the ${REACH} best hits as a whole, and show no others.`,
  "Without one, “Order” orders all pictures.",
];

export async function mount(root, params) {
  const mine = (view = { controller: new AbortController(), answer: null, stop: [] });
  const offered = await features().catch((error) => error);
  if (view !== mine) return;
  if (offered instanceof ApiError) {
    const again = () => mount(root, new URLSearchParams(location.search));
    return void fill(root, element("h1", { class: "unseen" }, "Search"), problem(offered.message, again));
  }
  view.offered = offered;
  build(root, offered);
  view.stop.push(takeFiles(takePictures), listen("keydown", keyed), view.grid.watch(), skipLink(), restorePlaces());
  update(params);
}

export function unmount() {
  view?.controller.abort();
  view?.pages?.stop();
  for (const stop of view?.stop ?? []) stop();
  view = null;
}

/** Show the search of a URL, and the image that it has open. */
export function update(params) {
  if (!view.grid) return; // the features are still loading; `mount` reads the URL afterwards
  const search = searchOf(params);
  view.opened.moved();
  const same = view.answer && addressOf({ ...search, open: null }) === addressOf({ ...currentSearch(), open: null });
  if (same) {
    keepSearch({ ...currentSearch(), open: search.open });
    view.opened.show();
  } else take(search);
}

function build(root, offered) {
  setLegend(offered);
  const words = makeWords(offered, { onWords: addWords, onNames: (names) => change({ names }) });
  const tray = makeTray({ onChange: (entries) => change(entries), onFiles: takePictures });
  const weights = makeWeights(offered, (by, { sliding }) => change({ by }, { replace: sliding }));
  const presets = makePresets(offered, weights.root, (by) => change({ by }));
  const enter = (where) => where !== currentSearch().where && change({ where });
  const facets = makeFacets(enter);
  const filter = makeFilter(offered.columns, enter, {
    onNames: (names) => change({ where: "", names }),
    onMended: () => view.results.classList.remove("stale"),
  });
  const options = makeOptions(offered.columns, (chosen) => change(chosen));
  const grid = makeGrid({
    addressOf: (hit) => addressOf({ ...currentSearch(), open: hit.image_id }),
    onAct: act,
    onNeed: (...places) => view?.pages?.need(...places),
    onMove: () => view?.answer && !view.results.ariaBusy && keepPlace(grid.placeInView(), location.href),
  });
  const selecting = makeSelecting({
    grid,
    idsBetween: (first, last) => view.pages?.idsBetween(first, last) ?? [],
    mostEntries: offered.limits.entries,
    onEntries: change,
  });
  const opened = makeOpened({
    grid,
    results: () => ({ features: view.answer.features, size: view.size }),
    hitAt: async (place) => view?.pages?.hitAt(place),
    onAct: act,
    onSearch: change,
  });
  view.stop.push(selecting.stop, opened.stop);
  const order = makeOrder(offered.columns, (sql) => change({ order_by: sql }));
  const wide = matchMedia("(min-width: 860px)");
  const settings = element(
    "details",
    { class: "settings", open: wide.matches },
    element("summary", {}, "Filter and options"),
    facets.root,
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
  const results = element(
    "section",
    { class: "results", "aria-label": "Results" },
    element(
      "div",
      { class: "bar" },
      said, legend, mapLink(currentSearch), within, selecting.button, order.root, makeTileSize(() => grid.layOut()),
    ),
    message,
    grid.root,
    selecting.bar,
  );
  fill(root, element("h1", { class: "unseen" }, "Search"), element("div", { class: "search" }, panel, results));
  const fit = () => (settings.open = wide.matches);
  wide.addEventListener("change", fit);
  view.stop.push(() => wide.removeEventListener("change", fit), facets.stop);
  Object.assign(view, { words, tray, presets, weights, facets, filter, options, order });
  Object.assign(view, { grid, selecting, opened, said, legend, within, message, results });
}

function addWords(text) {
  const search = currentSearch();
  change({ ...added(search, "like", { text }), by: byForText(search.by, view.offered) });
}

/** Search with changes; add a history entry, except while a slider moves. */
function change(changed, { replace = false } = {}) {
  const search = { ...currentSearch(), ...view.opened.takeMarks(), ...changed, open: null };
  if (!filesOf(search).length) setAddress(addressOf(search), { replace });
  take(search);
}

/** Show a search in the controls, and run it. */
function take(search) {
  const isSettled = !["busy", "stale"].some((name) => view.results.classList.contains(name));
  if (isSettled) view.shown = currentSearch(); // whose hits stay until the next answer
  keepSearch(search);
  view.words.show(search);
  view.tray.show(search);
  view.presets.show(search);
  view.weights.show(search.by);
  view.facets.show(search);
  view.filter.show(search.where);
  view.options.show(search);
  view.order.show(search);
  showWithin(search);
  run(search);
}

async function run(search) {
  view.controller.abort();
  const controller = (view.controller = new AbortController());
  const [mine, place] = [view, keptPlace()];
  mine.results.classList.add("busy");
  mine.results.setAttribute("aria-busy", "true");
  try {
    const { answer, search: sent } = await ask(search, { k: PAGE, offset: 0 }, { signal: controller.signal, onBusy });
    if (view !== mine || controller.signal.aborted) return;
    if (filesOf(search).length) arrived(sent);
    answered(answer, place);
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

function answered(answer, place) {
  const { grid, filter, message } = view;
  const hadFocus = grid.root.contains(document.activeElement) || view.opened.isOpen();
  noticeGeneration(answer.generation);
  keepNames(answer.hits);
  view.answer = answer;
  view.legend.hidden = !answer.hits.some((hit) => hit.likeness);
  filter.fail("");
  showPages(answer);
  fill(message, answer.hits.length ? null : nothing(answer, currentSearch(), change));
  summarise();
  if (place) grid.scrollTo(place);
  else if (scrollY > 200) scrollTo({ top: 0 });
  grid.render(); // where the view is now, without waiting for a frame
  view.opened.show();
  if (hadFocus && !currentSearch().open) grid.focus(place);
}

/** Show the first hits of an answer, and fetch others where the view is. */
function showPages(answer) {
  const mine = view;
  const [{ grid }, search] = [mine, currentSearch()];
  mine.pages?.stop();
  mine.selecting.forget();
  mine.pages = null; // the grid is shown before the new pages are known
  mine.size = sizeOf(answer, answer.hits.length, mine.offered.limits.reach);
  grid.show({ ...answer, total: mine.size });
  mine.pages = makePages({
    hits: grid.hits,
    sizeOf: () => mine.size,
    deepest: answer.features.length ? mine.offered.limits.reach : Infinity,
    load: (offset, k, signal) => loadHits(answer, search, offset, k, signal),
    onHits: (offset, hits) => view === mine && grid.put(offset, hits),
    onError: (error) => view === mine && toast(error.message),
  });
  grid.ask();
}

/** Load further hits of an answer. Search again if the lake has changed, as they would be of another result. */
async function loadHits(answer, search, offset, k, signal) {
  const mine = view;
  const { answer: next } = await ask(search, { k, offset }, { signal, onBusy });
  if (view !== mine || mine.answer !== answer || signal.aborted) return [];
  if (next.generation !== answer.generation || (next.total !== answer.total && answer.total !== null)) {
    run(currentSearch());
    return [];
  }
  keepNames(next.hits);
  if (answer.total === null) {
    answer.more = next.more;
    mine.size = sizeOf(answer, offset + next.hits.length, mine.offered.limits.reach);
    mine.grid.resize(mine.size);
  }
  summarise();
  return next.hits;
}

function summarise() {
  const { answer, said, size, offered } = view;
  const count = summaryOf(answer, currentSearch(), { size, columns: offered.columns });
  const cut = answer.cut ? `, ${answer.cut.toLocaleString("en")} too far` : "";
  if (view.summary === count + cut && view.summarised === answer) return;
  Object.assign(view, { summary: count + cut, summarised: answer });
  const took = `${Math.max(1, Math.round(answer.seconds * 1000))} ms`;
  const how = element("span", { class: "soft small plan", title: answer.plan }, took);
  const notes = answer.notes.map((note) => `; ${note}`).join("");
  fill(said, element("strong", {}, count + cut), notes, " ", how);
  announce((answer.no_good_match ? "No good match" : count + cut) + notes);
}

async function failed(error, search) {
  const mine = view;
  if (error.kind === "BadFilter") {
    const what = error.filter?.field === "order_by" ? "order" : "filter";
    mine.filter.fail(error);
    mine.results.classList.add("stale");
    fill(mine.said, `The ${what} cannot be used.`);
    fill(mine.message, mine.answer?.hits.length ? earlier(mine.shown, change) : null);
    announce(`The ${what} cannot be used: ${error.filter?.problem ?? error.message}`);
    mine.pages?.stop(); // the hits are of the search before
    mine.pages = null;
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
  mine.filter.fail("");
  mine.grid.clear();
  mine.legend.hidden = true;
  mine.pages?.stop();
  Object.assign(mine, { answer: null, pages: null });
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
  if (action === "open") return view.opened.open(hit.image_id);
  if (action === "more") {
    return change({ like: [{ image_id: hit.image_id, crop: hit.crop ?? undefined }], unlike: [], within: null });
  }
  if (view.opened.isOpen()) return view.opened.mark(action, hit);
  const { like, unlike } = added(currentSearch(), action, { image_id: hit.image_id });
  change({ like, unlike });
}

function keyed(event) {
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") view.filter.reach();
  else if (event.key === "s" && !view.legend.hidden) showLegend();
  else if (event.key.startsWith("Arrow") && document.activeElement === document.body) view.grid.focus();
  else return;
  event.preventDefault();
}

/** Add a link to the pictures beside that to the content, so that a few tab stops lead to the first hit. */
function skipLink() {
  const act = (event) => (event.preventDefault(), view.grid.focus());
  const link = element("a", { class: "skip", href: "#pictures", onclick: act }, "Skip to the pictures");
  document.querySelector("a.skip").after(link);
  return () => link.remove();
}

function listen(name, act) {
  document.addEventListener(name, act);
  return () => document.removeEventListener(name, act);
}
