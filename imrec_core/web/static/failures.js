/** The tab "Failures": files that could not be read, by kind, with previews and marks for another try. */

import { get, isOvertaken, post } from "./api.js";
import { commandToCopy } from "./copy.js";
import { announce, counted, element, fill, toast } from "./dom.js";
import { failureRow } from "./failure_row.js";
import { problem } from "./messages.js";
import { setAddress } from "./router.js";

const PAGE = 50; // files per request

export async function mount(panel, { signal, params }) {
  const tab = {
    panel, signal, kind: params.get("kind") ?? "", source: params.get("source") ?? "",
    summary: element("div", { class: "failure-summary" }),
    kinds: element("ul", { class: "failure-kinds", "aria-label": "Kinds of failures" }),
    bar: element("div", { class: "failure-bar" }),
    list: element("ul", { class: "failure-list" }),
    more: element("button", { type: "button", hidden: true, onclick: () => load(tab) }, "Show more"),
    fault: element("div", {}),
  };
  fill(panel, tab.summary, tab.kinds, tab.bar, tab.fault, tab.list, tab.more);
  await load(tab);
}

function asked({ kind, source }) {
  return { kind, source };
}

/** Load the next files, or the first ones if the list is empty. */
async function load(tab) {
  const { signal, list, more } = tab;
  more.disabled = true;
  fill(tab.fault);
  try {
    const offset = list.children.length;
    const found = await get("/api/failures", { ...asked(tab), offset, limit: PAGE }, { signal });
    if (signal.aborted) return;
    Object.assign(tab, { counts: found });
    const rows = found.failures.map((file) => failureRow(file, (row) => mark(tab, { images: [file.image_id] }, row)));
    list.append(...rows);
    if (offset) rows[0]?.querySelector("button, a")?.focus();
    more.hidden = found.next === null;
    more.textContent = `Show more of ${found.total.toLocaleString("en")}`;
    showCounts(tab);
    if (!offset) announce(counted(found.total, "file"));
  } catch (error) {
    if (!signal.aborted && !isOvertaken(error)) fill(tab.fault, problem(error.message, () => load(tab)));
  } finally {
    more.disabled = false;
  }
}

/** Show the counts, the kinds with their advice, and the actions on all files of the list. */
function showCounts(tab) {
  const { kinds, sources } = tab.counts;
  const every = kinds.reduce((sum, { files }) => sum + files, 0);
  if (!every) {
    fill(tab.kinds);
    fill(tab.bar);
    return fill(tab.summary, element("p", { class: "soft" }, "Every picture could be read."));
  }
  fill(tab.summary, element("p", {}, `${counted(every, "file")} could not be read. Searches do not find them.`));
  fill(tab.kinds, ...kinds.map((kind) => kindCard(tab, kind)));
  fill(tab.bar, sources.length > 1 ? sourceSelect(tab, sources) : null, ...actions(tab), markedLine(tab));
}

function kindCard(tab, { kind, title, advice, files }) {
  const isChosen = tab.kind === kind;
  const choose = () => filter(tab, { kind: isChosen ? "" : kind });
  const words = `${title}: ${files.toLocaleString("en")}`;
  return element(
    "li",
    { class: "card" },
    element(
      "button",
      {
        type: "button", "aria-pressed": String(isChosen), onclick: choose,
        title: isChosen ? "Show all kinds" : "Show only these",
      },
      words,
    ),
    element("p", { class: "soft small" }, advice),
  );
}

function sourceSelect(tab, sources) {
  const options = sources.map(({ source, files }) => element(
    "option",
    { value: source, selected: source === tab.source },
    `${source} (${files.toLocaleString("en")})`,
  ));
  const select = element(
    "select",
    { id: "failure-source", onchange: () => filter(tab, { source: select.value }) },
    element("option", { value: "" }, "all folders"),
    ...options,
  );
  return element("label", {}, element("span", { class: "soft" }, "Folder"), select);
}

function actions(tab) {
  const query = new URLSearchParams(Object.entries(asked(tab)).filter(([, value]) => value));
  const wanted = Object.fromEntries(query);
  return [
    element(
      "a",
      { class: "button", href: `/api/failures/list?${query}`, download: "imrec-failures.csv" },
      "Download the list",
    ),
    element(
      "button",
      {
        type: "button", title: "Mark these files; the next imrec build reads them again",
        onclick: () => mark(tab, wanted),
      },
      tab.kind || tab.source ? `Try these ${tab.counts.total.toLocaleString("en")} again` : "Try all again",
    ),
  ];
}

/** Say how many files are marked, with the command that reads them. */
function markedLine(tab) {
  const { marked } = tab.counts;
  if (!marked) return null;
  const wanted = Object.fromEntries(Object.entries(asked(tab)).filter(([, value]) => value));
  return element(
    "p",
    { class: "marked", role: "status" },
    `${counted(marked, "file is", "files are")} marked. To read ${marked === 1 ? "it" : "them"} again, run `,
    commandToCopy("imrec build"),
    " ",
    element(
      "button",
      { type: "button", class: "quiet small", onclick: () => mark(tab, { ...wanted, remove: true }) },
      "Remove the marks",
    ),
  );
}

/** Mark files, or take marks away; a row changes in place, other changes load the list again. */
async function mark(tab, wanted, row = null) {
  const remove = row ? row.isMarked : Boolean(wanted.remove);
  try {
    const { changed } = await post("/api/failures/retry", { ...wanted, remove }, { signal: tab.signal });
    if (row) {
      row.show(!remove);
      tab.counts.marked += remove ? -changed : changed;
      return showCounts(tab);
    }
    const files = counted(changed, "file");
    toast(remove ? `Marks of ${files} removed` : `${files} marked for the next build`);
    reload(tab);
  } catch (error) {
    if (!isOvertaken(error)) toast(error.message);
  }
}

function filter(tab, changed) {
  Object.assign(tab, changed);
  const query = new URLSearchParams(Object.entries(asked(tab)).filter(([, value]) => value));
  setAddress(query.size ? `/issues/failures?${query}` : "/issues/failures", { replace: true });
  const { id } = document.activeElement;
  const pressed = changed.kind === undefined ? id : "";
  reload(tab).then(() => pressed && document.getElementById(pressed)?.focus());
}

function reload(tab) {
  fill(tab.list);
  return load(tab);
}
