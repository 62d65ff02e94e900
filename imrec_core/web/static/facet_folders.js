/** The facet of folders: a tree of sources and folders, whose levels are loaded when they are opened. */

import { split } from "./facet_sql.js";
import { counted, element, fill } from "./dom.js";

const opened = new Set(); // keys of the open folders, kept while the page lives
const closed = new Set(); // keys of folders that the user has closed

const keyOf = ({ source, folder }) => `${source}\n${folder}`;

/** Create the tree; calls `onChoose(conditions)`. */
export function makeFolders(onChoose) {
  const tree = element("ul", { class: "folders", role: "tree", "aria-label": "Folders" });
  const state = { levels: new Map(), sources: [], chosen: [], list: null, focused: null, revealed: "" };

  const choose = (folder) => onChoose(isChosen(folder) ? [] : split(folder.where, "AND"));
  const isChosen = (folder) => state.chosen.length > 0 && state.chosen.join(" AND ") === folder.where;

  async function load(folder) {
    const { list } = state;
    const level = await list(folder.source, folder.folder).catch(() => null);
    if (level && list === state.list) state.levels.set(keyOf(folder), level);
  }

  /** Open the only folder of a level. */
  function openOnly(folders) {
    if (folders.length === 1 && !closed.has(keyOf(folders[0]))) opened.add(keyOf(folders[0]));
  }

  /** Load the levels of all open folders that are visible, from the top. */
  async function loadOpen(folders) {
    const open = folders.filter((folder) => opened.has(keyOf(folder)));
    await Promise.all(open.map(load));
    const levels = open.map((folder) => state.levels.get(keyOf(folder))?.folders ?? []);
    levels.forEach(openOnly);
    const below = levels.flat();
    if (below.some((folder) => opened.has(keyOf(folder)))) await loadOpen(below);
  }

  async function setOpen(folder, isOpen) {
    for (const keys of [opened, closed]) keys.delete(keyOf(folder));
    (isOpen ? opened : closed).add(keyOf(folder));
    if (isOpen) await loadOpen([folder]);
    render();
  }

  function render() {
    const hadFocus = tree.contains(document.activeElement);
    fill(tree, ...state.sources.map((source) => itemOf(source, 1)));
    const items = [...tree.querySelectorAll("[role=treeitem]")];
    const at = items.find((item) => item.dataset.key === state.focused) ?? items[0];
    if (at) at.tabIndex = 0;
    if (hadFocus) at?.focus();
  }

  /** Scroll the tree to the chosen folder, once for each choice. */
  function reveal(chosen) {
    const item = tree.querySelector("[aria-selected=true]");
    const choice = chosen.join(" AND ");
    if (!item || choice === state.revealed) return;
    state.revealed = choice;
    const [box, row] = [tree, item.firstElementChild].map((node) => node.getBoundingClientRect());
    if (row.top < box.top || row.bottom > box.bottom) tree.scrollTop += row.top - box.top - box.height / 2;
  }

  function itemOf(folder, level) {
    const isOpen = folder.has_folders && opened.has(keyOf(folder));
    const toggle = element("span", { class: "toggle", "aria-hidden": "true" }, folder.has_folders ? "▸" : "");
    const count = folder.images.toLocaleString("en");
    const row = element(
      "span",
      { class: "row", style: { "--level": level }, title: folder.where },
      toggle,
      element("span", { class: "name" }, folder.name),
      element("span", { class: "soft small count" }, count),
    );
    const item = element(
      "li",
      {
        role: "treeitem", tabindex: -1, dataset: { key: keyOf(folder) }, "aria-level": level,
        "aria-label": `${folder.name}, ${counted(folder.images, "picture")}`,
        "aria-selected": String(isChosen(folder)), "aria-expanded": folder.has_folders ? String(isOpen) : null,
      },
      row,
      isOpen ? groupOf(folder, level + 1) : null,
    );
    row.addEventListener("click", (event) => {
      state.focused = keyOf(folder);
      if (event.target === toggle && folder.has_folders) setOpen(folder, !isOpen);
      else choose(folder);
    });
    item.addEventListener("keydown", (event) => {
      if (event.target === item) keyed(event, item, folder, isOpen);
    });
    return item;
  }

  function groupOf(folder, level) {
    const { folders = [], further_folders: further, further_images: images } = state.levels.get(keyOf(folder)) ?? {};
    const words = further && `${counted(further, "smaller folder")}: ${counted(images, "picture")}`;
    const rest = further ? element("li", { role: "none", class: "soft small rest" }, words) : null;
    return element("ul", { role: "group" }, ...folders.map((one) => itemOf(one, level)), rest);
  }

  function keyed(event, item, folder, isOpen) {
    const items = [...tree.querySelectorAll("[role=treeitem]")];
    const at = items.indexOf(item);
    const parent = item.parentElement.closest("[role=treeitem]");
    const go = (to) => {
      if (!to) return;
      state.focused = to.dataset.key;
      item.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
    };
    const acts = {
      ArrowDown: () => go(items[at + 1]),
      ArrowUp: () => go(items[at - 1]),
      Home: () => go(items[0]),
      End: () => go(items.at(-1)),
      ArrowRight: () => {
        if (isOpen) go(item.querySelector("[role=treeitem]"));
        else if (folder.has_folders) setOpen(folder, true);
      },
      ArrowLeft: () => (isOpen ? setOpen(folder, false) : go(parent)),
      Enter: () => choose(folder),
      " ": () => choose(folder),
    };
    if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    state.focused = keyOf(folder);
    acts[event.key]();
  }

  return {
    root: tree,
    async draw(sources, chosen, { list }) {
      Object.assign(state, { sources, chosen, list });
      openOnly(sources);
      for (const folder of aboveOf(chosen, sources)) opened.add(keyOf(folder));
      await loadOpen(sources);
      if (list !== state.list) return;
      render();
      reveal(chosen);
    },
    mark(chosen) {
      state.chosen = chosen;
      render();
    },
  };
}

/** Return the folders above the chosen one, which are opened to show it. */
function aboveOf(chosen, sources) {
  const [path, named] = ["starts_with(path, '", "source = '"].map((head) => {
    const found = chosen.find((condition) => condition.startsWith(head));
    return found?.slice(head.length).replace(/'\)?$/, "").replaceAll("''", "'");
  });
  const source = named ?? (sources.length === 1 ? sources[0].source : null);
  if (path === undefined || source === null) return [];
  const names = path.split("/").slice(0, -2);
  const folders = names.map((_, at) => `${names.slice(0, at + 1).join("/")}/`);
  return ["", ...folders].map((folder) => ({ source, folder }));
}
