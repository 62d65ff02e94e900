/** Facets above the filter: a choice writes SQL into it, and facets show the conditions that they have written. */

import { isOvertaken, post } from "./api.js";
import { makeChips } from "./facet_chips.js";
import { makeDates } from "./facet_dates.js";
import { makeFolders } from "./facet_folders.js";
import { conditionOf, filterOf, parseFilter } from "./facet_sql.js";
import { element, fill } from "./dom.js";
import { whereOf } from "./names.js";
import { styles } from "./styles.js";

const TITLES = {
  folder: "Folder",
  taken: "Date",
  camera: "Camera",
  size: "Size",
  orientation: "Orientation",
  format: "Format",
  colour: "Colour",
  traits: "Other",
};
const OPEN = ["folder", "taken", "camera"]; // others are open once they have a choice

/** Create the facets; calls `onWhere(where)` when a choice changes the filter. */
export function makeFacets(onWhere) {
  styles("/static/facets.css");
  const state = { search: null, parsed: null, shown: "", controller: new AbortController(), span: null };
  const choose = (facet, conditions) => {
    const chosen = { ...state.parsed.chosen, [facet]: conditions };
    onWhere(filterOf({ ...state.parsed, chosen }));
  };
  const zoom = (span) => ((state.span = span), load(true));
  const makers = { folder: makeFolders, taken: (act) => makeDates(act, zoom) };
  const facets = Object.keys(TITLES).map((name) => {
    const view = (makers[name] ?? makeChips)((conditions) => choose(name, conditions));
    return { name, view, ...framed(name, view.root, () => choose(name, [])) };
  });
  const note = element("p", { class: "soft small", hidden: true });
  const root = element(
    "section",
    { class: "facets", "aria-label": "Facets" },
    note,
    ...facets.map(({ frame }) => frame),
  );

  /** Load the counts if they are visible and not those of the filter. */
  async function load(isForced = false) {
    if (!state.parsed) return; // the first search has not been shown yet
    const conditions = conditionsOf(state);
    const key = JSON.stringify([conditions, state.search?.within]);
    if (!root.offsetParent || (key === state.shown && !isForced)) return;
    state.controller.abort();
    const { signal } = (state.controller = new AbortController());
    state.shown = key;
    const within = state.search.within;
    try {
      const counts = await post("/api/facets", { conditions, within, ...state.span }, { signal });
      if (signal.aborted) return;
      draw(counts, conditions);
    } catch (error) {
      if (isOvertaken(error)) return;
      state.shown = "";
      root.classList.add("stale"); // of a filter that cannot be used, which the search reports
      if (error.kind !== "BadFilter") say(`The facets cannot be counted: ${error.message}`);
    }
  }

  function draw(counts, conditions) {
    root.classList.remove("stale");
    const { folder: _, ...others } = conditions;
    const list = (source, folder) => post("/api/facets/folders", {
      source, folder, conditions: others, within: state.search.within,
    });
    const values = Object.fromEntries(counts.facets.map((facet) => [facet.name, facet]));
    for (const { name, view, frame } of facets) {
      const found = { folder: counts.sources, taken: counts.taken }[name] ?? values[name];
      frame.hidden = !found || (name === "taken" && !found.bins.length);
      if (!frame.hidden) view.draw(found, state.parsed.chosen[name] ?? [], { list, span: state.span });
    }
    if (state.parsed.isReadable) say("");
  }

  function say(words) {
    note.hidden = !words;
    fill(note, words);
  }

  const reload = () => load(true);
  document.addEventListener("imrec:generation", reload);
  document.addEventListener("toggle", onToggle, true); // when the panel of a phone opens
  function onToggle(event) {
    if (event.target.contains?.(root)) load();
  }

  return {
    root,
    /** Show the choices of a search, and load their counts. */
    show(search) {
      state.search = search;
      state.parsed = parseFilter(search.where);
      const { chosen, isReadable } = state.parsed;
      root.inert = !isReadable;
      say(isReadable ? "" : "The filter has a comment, or a quote or bracket that is open; facets cannot add to it.");
      for (const facet of facets) {
        const conditions = chosen[facet.name] ?? [];
        facet.mark(conditions.length > 0);
        facet.view.mark(conditions);
      }
      load();
    },
    stop() {
      state.controller.abort();
      document.removeEventListener("imrec:generation", reload);
      document.removeEventListener("toggle", onToggle, true);
    },
  };
}

/** Return the conditions of a search by facet, as the server takes them. */
function conditionsOf({ search, parsed }) {
  const written = Object.entries(parsed.chosen).map(([facet, all]) => [facet, conditionOf(facet, all)]);
  const other = whereOf({ where: parsed.other, names: search.names });
  return Object.fromEntries([...written, ["other", other]].filter(([, condition]) => condition));
}

/** Frame a facet with its title, and a button that removes its choice. */
function framed(name, content, onClear) {
  const clear = element(
    "button",
    { type: "button", class: "quiet small", hidden: true, title: `Clear ${TITLES[name]}`, onclick: onClear },
    "Clear ",
    element("span", { class: "unseen" }, TITLES[name]),
  );
  const frame = element(
    "details",
    { class: "facet", dataset: { facet: name }, open: OPEN.includes(name), hidden: true },
    element("summary", {}, TITLES[name]),
    clear,
    content,
  );
  return {
    frame,
    mark(isChosen) {
      clear.hidden = !isChosen;
      frame.classList.toggle("chosen", isChosen);
      if (isChosen) frame.open = true;
    },
  };
}
