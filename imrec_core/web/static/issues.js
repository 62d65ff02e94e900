/** The tab "Issues": the quality issues of the pictures, with the worst pictures of each. */

import { get, isOvertaken } from "./api.js";
import { announce, counted, element, fill } from "./dom.js";
import { pictureGrid, tagAllForm } from "./curate_grid.js";
import { problem } from "./messages.js";

const FIRST = 12; // pictures of an issue at first
const SIDES = { low: "below", high: "above" };

export async function mount(panel, { signal }) {
  try {
    const found = await get("/api/issues", {}, { signal });
    if (!signal.aborted) await show(panel, found, signal);
  } catch (error) {
    if (signal.aborted || isOvertaken(error)) return;
    fill(panel, problem(error.message, () => mount(panel, { signal })));
  }
}

async function show(panel, { images, issues }, signal) {
  const [some, none] = [issues.filter((one) => one.images), issues.filter((one) => !one.images)];
  const sections = some.map((issue) => sectionOf(issue, signal));
  fill(
    panel,
    element("p", { class: "soft" }, `${counted(images, "picture")} examined`),
    element("ul", { class: "issue-counts", "aria-label": "Numbers of pictures" }, ...some.map(countOf)),
    ...sections.map(({ root }) => root),
    none.length
      ? element("p", { class: "soft small" }, `No picture: ${none.map((one) => one.summary).join(", ")}.`)
      : null,
  );
  announce(`${some.length} kinds of issues`);
  await Promise.all(sections.map(({ grid }) => grid.more(FIRST)));
}

function countOf({ issue, images }) {
  return element(
    "li",
    {},
    element("a", { href: `#issue-${issue}` }, element("strong", {}, images.toLocaleString("en")), ` ${words(issue)}`),
  );
}

function sectionOf({ issue, measure, bad, limit, images }, signal) {
  const asked = { path: `/api/issues/${issue}`, signal };
  const title = element("h2", { id: `title-${issue}` }, titleOf(issue, images));
  const onTotal = (total) => (title.textContent = titleOf(issue, total));
  const grid = pictureGrid({ ...asked, captionOf, onTotal });
  const rule = limit === null ? measure : `${measure}: ${SIDES[bad]} ${Number(limit.toPrecision(3))}`;
  const isFailed = issue === "failed";
  const failures = element("a", { href: "/issues/failures" }, "Reasons, previews and another try");
  const root = element(
    "section",
    { class: "card", id: `issue-${issue}`, "aria-labelledby": `title-${issue}` },
    element("div", { class: "card-head" }, title, isFailed ? null : tagAllForm(asked)),
    element("p", { class: "soft small rule" }, isFailed ? failures : rule),
    grid.root,
  );
  return { root, grid };
}

function captionOf({ severity, value }) {
  return `severity ${severity.toFixed(2)}${value === null ? "" : `, ${Number(value.toPrecision(3))}`}`;
}

function titleOf(issue, images) {
  return `${words(issue)}: ${images.toLocaleString("en")}`;
}

function words(issue) {
  return issue.replaceAll("_", " ");
}
