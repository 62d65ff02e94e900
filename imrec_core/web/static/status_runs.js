/** Table of the last runs, with the time of each stage as bars. */

import { element } from "./dom.js";

const COLOURS = 8; // of stages, in status.css
const STRIPES = ["", "135deg", "45deg"]; // further stages have the same colours with stripes

/** Create the section of the last runs, newest first. */
export function runsTable(runs) {
  const names = stagesOf(runs);
  const colour = (name) => fillOf(names.indexOf(name));
  const longest = Math.max(1e-9, ...runs.map((run) => total(run)));
  const rows = runs.map((run) => row(run, longest, colour));
  const legend = element(
    "ul",
    { class: "stage-names small" },
    ...names.map((name) => element(
      "li",
      {},
      element("span", { class: "hue", style: { background: colour(name) } }),
      name,
    )),
  );
  const heads = ["When", "What", "Pictures", "Took", "Stages"].map((head, place) => element(
    "th",
    { scope: "col", class: place === 2 || place === 3 ? "number" : "" },
    head,
  ));
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
  return element(
    "section",
    { class: "card", id: "runs", "aria-labelledby": "runs-title" },
    element("h2", { id: "runs-title" }, "Last runs"),
    runs.length ? scrolled(table) : element("p", { class: "soft" }, "There are no runs yet."),
    names.length ? legend : null,
  );
}

/** Return the fill of a stage: as many differ as there are stages, up to 24. */
function fillOf(at) {
  const colour = `var(--stage-${at % COLOURS})`;
  const angle = STRIPES[Math.floor(at / COLOURS) % STRIPES.length];
  return angle ? `repeating-linear-gradient(${angle}, ${colour} 0 3px, var(--card) 3px 5px)` : colour;
}

/** List the stages of some runs, the longest first: it has the plainest colour. */
function stagesOf(runs) {
  const seconds = new Map();
  for (const [name, took] of runs.flatMap((run) => Object.entries(run.stages ?? {}))) {
    seconds.set(name, (seconds.get(name) ?? 0) + took);
  }
  return [...seconds.keys()].sort((one, other) => seconds.get(other) - seconds.get(one));
}

function scrolled(table) {
  return element("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Last runs" }, table);
}

function row(run, longest, colour) {
  return element(
    "tr",
    { class: run.kind === "failure" ? "failed" : "" },
    element("td", { class: "soft", title: run.when }, timed(run.when)),
    element("td", {}, element("strong", {}, run.kind ?? ""), ` ${run.what ?? ""}`),
    element("td", { class: "number" }, run.rows ? run.rows.toLocaleString("en") : ""),
    element("td", { class: "number" }, duration(run.seconds)),
    element("td", {}, bar(run, longest, colour)),
  );
}

/** Draw the stages of a run in proportion to the longest run, with a text for screen readers. */
function bar(run, longest, colour) {
  const stages = Object.entries(run.stages ?? {}).filter(([, seconds]) => seconds > 0);
  const words = stages.map(([name, seconds]) => `${name} ${duration(seconds)}`).join(", ");
  const parts = stages.map(([name, seconds]) => element(
    "span",
    { style: { width: `${(100 * seconds) / longest}%`, background: colour(name) } },
  ));
  return element("div", { class: "stages", role: "img", "aria-label": words || "no stages", title: words }, ...parts);
}

function total(run) {
  return Object.values(run.stages ?? {}).reduce((sum, seconds) => sum + seconds, 0);
}

/** Format a number of seconds. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 1) return `${Math.round(1000 * seconds)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

/** Format a time of day, with the date unless it is today. */
function timed(when) {
  if (!when) return "";
  const time = new Date(when);
  const clock = time.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return time.toDateString() === new Date().toDateString() ? clock : `${time.toLocaleDateString("en-CA")} ${clock}`;
}
