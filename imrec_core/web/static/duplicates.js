/** The view "Duplicates": groups of copies side by side, which of them is kept and why, and decisions of the user. */

import { features, get, isOvertaken, post } from "./api.js";
import { announce, counted, element, fill, isTyping, toast } from "./dom.js";
import { compareLarge } from "./duplicates_compare.js";
import { groupCard } from "./duplicates_group.js";
import { setAddress } from "./router.js";
import { styles } from "./styles.js";

const PAGE = 20; // groups per request
const AHEAD = 600; // pixels below the window to load in advance
const MOST = 100; // images whose outcome is asked for after a decision
const POLL = 1000; // milliseconds between requests while the search runs
const TIERS = {
  identical: "the same bytes",
  same_pixels: "the same pixels",
  near: "nearly the same",
  edited: "cropped, rotated or mirrored",
  variant: "the same except for a detail",
};
const RULES = { original: "the original", largest: "the largest", oldest: "the oldest" };

export const keys = [
  ["↓ ↑", "Next, previous group"],
  ["1 … 9", "Always keep that file of the group, or undo that"],
  ["n", "Mark the first two as not duplicates, or undo that"],
  ["Enter", "Compare the files in large"],
  ["u", "Undo the last decision"],
];

let view = null; // the state of the view while it is mounted

export async function mount(root, params) {
  const mine = (view = { root, controller: new AbortController(), sent: Promise.resolve() });
  const [offered] = await Promise.all([features().catch(() => ({ sources: [] })), styles("/static/duplicates.css")]);
  if (view !== mine) return;
  view.offered = offered;
  build();
  document.addEventListener("keydown", keyed);
  view.watch = new IntersectionObserver(
    (seen) => seen.some((one) => one.isIntersecting) && loadMore(),
    { rootMargin: `${AHEAD}px` },
  );
  view.watch.observe(view.end);
  update(view.params ?? params);
}

export function unmount() {
  view.controller.abort();
  view.watch?.disconnect();
  document.removeEventListener("keydown", keyed);
  view = null;
}

/** Set tier and rule by the parameters of the URL. */
export function update(params) {
  if (!view.rule) return void (view.params = params); // not built yet
  const rules = [...view.rule.options].map((option) => option.value);
  view.tier.value = params.get("tier") in TIERS ? params.get("tier") : "near";
  view.rule.value = rules.includes(params.get("keep")) ? params.get("keep") : "original";
  view.selection = params.get("selection");
  view.among.hidden = !view.selection;
  start();
}

function build() {
  const rules = [
    ...Object.entries(RULES),
    ...view.offered.sources.map((name) => [`source:${name}`, `from ${name}`]),
  ];
  const tier = select("tier", Object.entries(TIERS));
  const rule = select("keep", rules);
  const said = element("p", { id: "duplicates-said" }, " ");
  const plan = element("a", { class: "button", id: "plan", download: "duplicates.json" }, "Download the plan");
  const after = element("p", { class: "soft small after" });
  const among = element(
    "button",
    { type: "button", class: "chip among", hidden: true, title: "Show all groups", onclick: showAll },
    "Only groups with selected pictures ✕",
  );
  const list = element("div", { class: "groups", id: "groups" });
  const message = element("div", { class: "message" });
  const end = element("div", { class: "groups-end", "aria-hidden": "true" });
  fill(
    view.root,
    element("h1", {}, "Duplicates"),
    element(
      "div",
      { class: "duplicates-bar card" },
      label("Tier", tier),
      label("Keep of each group", rule),
      plan,
      among,
      after,
    ),
    said, message, list, end,
  );
  Object.assign(view, { tier, rule, said, plan, after, among, list, message, end });
}

function select(id, pairs) {
  const chosen = () => {
    setAddress(`/duplicates?${new URLSearchParams(asked())}`);
    start();
  };
  return element(
    "select",
    { id, onchange: chosen },
    ...pairs.map(([value, words]) => element("option", { value }, words)),
  );
}

function label(words, field) {
  return element("label", {}, element("span", { class: "soft" }, words), field);
}

function asked() {
  const among = view.selection ? { selection: view.selection } : {};
  return { tier: view.tier.value, keep: view.rule.value, ...among };
}

/** Show the groups of all pictures, not only those with selected ones. */
function showAll() {
  const { tier, keep } = asked();
  const all = new URLSearchParams({ tier, keep });
  setAddress(`/duplicates?${all}`);
  update(all);
  view.tier.focus();
}

function isVariant() {
  return view.tier.value === "variant";
}

/** Load the groups, from the first page. */
function start() {
  view.controller.abort();
  Object.assign(
    view,
    { controller: new AbortController(), next: null, loading: false },
    { groups: 0, names: new Set(), done: [], search: null },
  );
  view.plan.removeAttribute("href"); // the plan needs the result of the search
  view.plan.setAttribute("aria-disabled", "true");
  fill(view.list);
  fill(view.message);
  fill(view.said, "Searching for duplicates …");
  load(null);
}

function loadMore() {
  if (view?.next && !view.loading) load(view.next);
}

async function load(cursor) {
  const mine = view;
  const { signal } = view.controller;
  view.loading = true;
  view.list.setAttribute("aria-busy", "true");
  try {
    const answer = await found(cursor, signal);
    if (view !== mine || signal.aborted) return;
    if (answer) show(answer);
  } catch (error) {
    if (isOvertaken(error) || view !== mine) return;
    if (error.kind === "StaleCursor") {
      toast("The lake has changed; loading the groups again.");
      return void start();
    }
    fill(view.said);
    fill(
      view.message,
      element("p", { class: "error" }, error.message),
      element("button", { type: "button", onclick: start }, "Try again"),
    );
  } finally {
    if (view === mine && !signal.aborted) {
      view.loading = false;
      view.list.removeAttribute("aria-busy");
      view.watch.unobserve(view.end); // makes the observer report again if the end is still near
      view.watch.observe(view.end);
    }
  }
}

/** Load a page of groups; wait for the search if it still runs. */
async function found(cursor, signal) {
  for (;;) {
    const answer = await get("/api/duplicates", { ...asked(), cursor, limit: PAGE }, { signal });
    if (answer.state === "ready") return answer;
    showSearch(answer);
    if (answer.state === "cancelled") return null;
    await new Promise((resolve) => setTimeout(resolve, POLL));
    signal.throwIfAborted();
  }
}

/** Show the progress of a search, with a button to cancel it or to continue. */
function showSearch({ state, progress, done, planned }) {
  const isRunning = state === "running";
  const words = isRunning ? `Searching for duplicates: ${progress} …` : `The search was cancelled: ${progress}`;
  if (!view.search) {
    view.search = {
      words: element("p", { class: isRunning ? "busy" : "" }),
      bar: element("progress", { "aria-label": "Comparisons done" }),
      button: element("button", { type: "button" }),
    };
    fill(view.message, element("div", { class: "card search-progress" }, ...Object.values(view.search)));
  }
  const { bar, button } = view.search;
  view.search.words.className = isRunning ? "busy" : "";
  fill(view.search.words, words);
  fill(view.said, isRunning ? "Searching for duplicates …" : " ");
  bar.hidden = !planned;
  Object.assign(bar, { max: planned || 1, value: done || 0 });
  fill(button, isRunning ? "Cancel" : "Continue");
  button.disabled = false;
  button.onclick = () => control(isRunning ? "cancel" : "continue");
}

/** Cancel the search, or continue it; what was compared is kept. */
async function control(action) {
  const mine = view;
  view.search.button.disabled = true;
  await post("/api/duplicates/search", { tier: view.tier.value, action }).catch((error) => toast(error.message));
  if (view === mine && action === "continue") start();
}

function show(answer) {
  const { list, message, said } = view;
  view.next = answer.next;
  view.search = null;
  view.plan.removeAttribute("aria-disabled");
  if (!isVariant()) view.plan.href = `/api/duplicates/plan?${new URLSearchParams(asked())}`;
  fill(message, answer.left_out?.length ? leftOut(answer.left_out) : null);
  for (const group of answer.groups.filter(isNew)) list.append(groupCard(
    group,
    ++view.groups,
    { decide, compare: compareLarge, outcomes },
  ));
  const words = answer.total ? counted(answer.total, "group") : "No duplicates";
  fill(
    said,
    element("strong", {}, words),
    " ",
    element("span", { class: "soft", id: "decided" }, decided(answer.decisions)),
  );
  if (!answer.total) fill(message, nothing());
  if (isVariant()) fill(view.after, "Variants have another content in one place, so this page makes no plan for them.");
  else fill(
    view.after,
    "This page moves no files. Apply or undo the plan with ",
    element("code", {}, "imrec duplicates --apply duplicates.json --to FOLDER"),
    " and ",
    element("code", {}, "--undo duplicates.json"),
    ".",
  );
  announce(words);
}

/** Test whether a group is not shown yet: a decision may move a group to a later page. */
function isNew({ copies }) {
  const name = copies.map((copy) => copy.image_id).sort().join();
  return !view.names.has(name) && view.names.add(name);
}

function decided({ keep = 0, apart = 0 } = {}) {
  const parts = [
    keep && `${counted(keep, "file")} always kept`,
    apart && `${counted(apart, "pair")} marked as no duplicates`,
  ].filter(Boolean);
  return parts.length ? `– ${parts.join(", ")}` : "";
}

function leftOut(files) {
  const more = files.length > 1 ? ` and ${files.length - 1} more` : "";
  return element(
    "p",
    { class: "soft" },
    `Left out because they are missing, changed or unreadable: ${files[0]}${more}. `,
    element("code", {}, "imrec build"),
    " looks again.",
  );
}

function nothing() {
  const tier = `“${TIERS[view.tier.value]}”`;
  const words = view.selection
    ? `No selected picture is a copy of another one within ${tier}.`
    : `No two pictures are copies of each other within ${tier}.`;
  return element("div", { class: "empty" }, element("h2", {}, "No duplicates"), element("p", {}, words));
}

// -- decisions

/** Return what the plan would do with some images, by id; null if that is not known yet, or there are too many. */
async function outcomes(ids) {
  if (ids.length > MOST) return null;
  const { signal } = view.controller;
  const { tier, keep } = asked();
  const answer = await get("/api/duplicates/outcomes", { tier, keep, image: ids }, { signal }).catch(() => null);
  return answer?.outcomes;
}

/** Save a decision; `shown(is)` shows it, or its undoing, and `saved` follows. To undo is to save the opposite. */
async function decide({ action, opposite, images, words, shown, saved }) {
  const mine = view;
  const undo = {
    action: opposite,
    opposite: action,
    images,
    words: `Undone: ${words}`,
    shown: (is) => shown(!is),
    saved,
  };
  const isUndo = action.startsWith("undo");
  const before = mine.done;
  const isOther = (one) => one.action !== action || `${one.images}` !== `${images}`;
  mine.done = isUndo ? before.filter(isOther) : [...before, undo];
  shown(true);
  const sent = mine.sent.then(() => post("/api/decisions", { action, images })); // in order
  mine.sent = sent.catch(() => {});
  try {
    const { decisions } = await sent;
    if (view !== mine) return;
    fill(document.getElementById("decided"), decided(decisions));
    saved();
    toast(words, isUndo ? undefined : { label: "Undo", act: () => mine.done.includes(undo) && decide(undo) });
  } catch (error) {
    shown(false);
    mine.done = before;
    toast(error.message);
  }
}

// -- keyboard

function keyed(event) {
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const groups = [...view.list.children];
  const here = groups.indexOf(document.activeElement?.closest?.(".group"));
  const to = { ArrowDown: here + 1, ArrowUp: Math.max(here - 1, 0) }[event.key];
  if (to !== undefined && groups[to]) groups[to].focus();
  else if (event.key === "u" && view.done.length) decide(view.done.at(-1));
  else if (/^[1-9n]$/.test(event.key) && here >= 0) groups[here].querySelector(`[data-key="${event.key}"]`)?.click();
  else if (event.key === "Enter" && document.activeElement === groups[here]) {
    groups[here].querySelector(".pictures button")?.click();
  } else return;
  event.preventDefault();
}
