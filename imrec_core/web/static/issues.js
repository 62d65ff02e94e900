/** The view "Issues": the quality issues of the pictures, with the worst pictures of each. */

import { get, isOvertaken, thumbnail } from "./api.js";
import { announce, counted, element, fileName, fill } from "./dom.js";
import { problem } from "./messages.js";
import { styles } from "./styles.js";

const FIRST = 12; // pictures of an issue at first
const MORE = 48; // and with each click
const SIDES = { low: "below", high: "above" };

let view = null;

export const notes = [
  "The limit of each issue follows from the pictures of the lake, within fixed bounds. “imrec issues” lists all.",
];

export async function mount(root) {
  const mine = (view = { root, controller: new AbortController() });
  fill(root, element("h1", {}, "Issues"), element("p", { class: "soft busy" }, "Loading …"));
  await styles("/static/issues.css");
  if (view === mine) await load();
}

export function unmount() {
  view.controller.abort();
  view = null;
}

async function load() {
  const mine = view;
  try {
    const found = await get("/api/issues", {}, { signal: mine.controller.signal });
    if (view === mine) await show(found);
  } catch (error) {
    if (view !== mine || isOvertaken(error)) return;
    fill(mine.root, element("h1", {}, "Issues"), problem(error.message, load));
  }
}

async function show({ images, has_outliers: hasOutliers, issues }) {
  const [some, none] = [issues.filter((one) => one.images), issues.filter((one) => !one.images)];
  const sections = some.map(sectionOf);
  const unknown = ["Outliers are not known yet. Find them with ", element("code", {}, "imrec issues")];
  fill(
    view.root,
    element("h1", {}, "Issues"),
    element("p", { class: "soft" }, `${counted(images, "picture")} examined`),
    hasOutliers ? null : element("p", { class: "note" }, ...unknown),
    element("ul", { class: "issue-counts", "aria-label": "Numbers of pictures" }, ...some.map(countOf)),
    ...sections.map(({ root }) => root),
    none.length
      ? element("p", { class: "soft small" }, `No picture: ${none.map((one) => one.summary).join(", ")}.`)
      : null,
  );
  announce(`${some.length} kinds of issues`);
  await Promise.all(sections.map(({ more }) => more(FIRST)));
}

function countOf({ issue, images }) {
  return element(
    "li",
    {},
    element("a", { href: `#issue-${issue}` }, element("strong", {}, images.toLocaleString("en")), ` ${words(issue)}`),
  );
}

/** Create the section of an issue; `more(count)` loads the next pictures. */
function sectionOf({ issue, measure, bad, limit, images }) {
  const list = element("ul", { class: "issue-pictures" });
  const button = element("button", { type: "button", hidden: true, onclick: () => more(MORE) }, "Show more");
  const rule = limit === null ? measure : `${measure}: ${SIDES[bad]} ${Number(limit.toPrecision(3))}`;
  const root = element(
    "section",
    { class: "card", id: `issue-${issue}`, "aria-labelledby": `title-${issue}` },
    element("h2", { id: `title-${issue}` }, `${words(issue)}: ${images.toLocaleString("en")}`),
    element("p", { class: "soft small rule" }, rule),
    list,
    button,
  );
  const { signal } = view.controller;
  async function more(limit) {
    button.disabled = true;
    try {
      const found = await get(`/api/issues/${issue}`, { offset: list.children.length, limit }, { signal });
      const first = list.children.length;
      list.append(...found.findings.map(pictureOf));
      if (first) list.children[first]?.querySelector("a")?.focus();
      button.hidden = found.next === null;
      button.textContent = `Show more of ${found.total.toLocaleString("en")}`;
    } catch (error) {
      if (!isOvertaken(error)) root.append(element("p", { class: "error" }, error.message));
    } finally {
      button.disabled = false;
    }
  }
  return { root, more };
}

function pictureOf({ image_id: id, source, path, severity, value }) {
  if (!id) return element("li", { class: "failed small" }, `${source}/${path}`);
  const measured = value === null ? "" : `, ${Number(value.toPrecision(3))}`;
  const picture = element("img", { src: thumbnail(id, 160), alt: "", loading: "lazy", width: 120, height: 90 });
  picture.addEventListener("error", () => picture.classList.add("missing"));
  return element(
    "li",
    {},
    element(
      "a",
      { href: `/?like=image:${id}&open=${id}`, title: `${source}/${path}: severity ${severity.toFixed(2)}${measured}` },
      picture,
      element("span", { class: "small" }, fileName(path)),
    ),
  );
}

function words(issue) {
  return issue.replaceAll("_", " ");
}
