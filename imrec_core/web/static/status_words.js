/** The state of the lake in one or two sentences, with the command to run. */

import { commandToCopy } from "./copy.js";
import { counted, element } from "./dom.js";
import { presetsOf } from "./presets.js";
import { duration } from "./status_runs.js";

const COMPARED = { content: "content", colours: "colours", copies: "copies and crops", structure: "structure" };

/** Create the card on top of the view; `offered` has the features of the lake, or is null. */
export function summaryOf(status, offered) {
  const { kind, words, before, command } = stepOf(status);
  return element(
    "div",
    { class: `todo ${kind}`, id: "todo" },
    element("p", { class: "headline" }, words),
    element("p", {}, before, commandToCopy(command)),
    failedLine(status),
    ageLine(status, offered),
  );
}

/** Return the state and the next step, the most urgent one. */
function stepOf(status) {
  const { sources, features, generation, waiting } = status;
  const build = { command: "imrec build" };
  const away = sources.filter((source) => !source.reachable);
  if (!sources.length) {
    return { kind: "bad", words: "There is no image folder yet.", before: "Add one: ", command: "imrec build FOLDER" };
  }
  if (away.length) {
    const words = `${namesOf(away)} cannot be reached; its pictures stay searchable.`;
    return { kind: "bad", words, before: "When it is there again, run ", ...build };
  }
  if (!generation) return { kind: "bad", words: "Nothing can be searched yet.", before: "Run ", ...build };
  if (waiting.new) {
    const words = `${counted(waiting.new, "new picture waits", "new pictures wait")}.`;
    return { kind: "warn", words, before: "To make them searchable, run ", ...build };
  }
  const changed = sources.filter((source) => source.stale);
  const stale = features.filter((feature) => feature.stale);
  if (stale.length && stale.length < features.length) {
    const words = `${namesOf(stale)} ${stale.length === 1 ? "is" : "are"} not computed for all pictures.`;
    return { kind: "warn", words, before: "The other features can be searched. Run ", ...build };
  }
  if (changed.length || stale.length) {
    const words = `Pictures of ${namesOf(changed)} have changed.`;
    return { kind: "warn", words, before: "To read them, run ", ...build };
  }
  if (!status.up_to_date) return { kind: "warn", words: "A build is not finished.", before: "Run ", ...build };
  return { kind: "good", words: allFine(status), before: "New pictures are found by ", ...build };
}

function allFine({ rows, sources, scanned }) {
  const of = `${counted(rows, "picture")} from ${counted(sources.length, "folder")}`;
  return `${of}, all up to date${scanned ? ` since ${clock(scanned)}` : ""}.`;
}

/** Say how many files could not be read, and how many of them the next build tries again. */
function failedLine({ failures: { total, marked } }) {
  if (!total) return null;
  const again = marked ? `; the next build tries ${marked.toLocaleString("en")} of them again` : "";
  const link = element("a", { href: "/issues/failures" }, `${counted(total, "file")} could not be read`);
  return element("p", {}, link, `${again}.`);
}

function ageLine({ built, features }, offered) {
  const ways = offered ? presetsOf(offered).map(({ name }) => COMPARED[name]).filter(Boolean) : [];
  const compared = ways.length ? ` Searches compare ${ways.join(", ")}` : "";
  const names = features.map(({ name }) => name).join(", ");
  return element(
    "p",
    { class: "soft" },
    "Built ",
    element("span", { class: "age", title: built ?? "" }, ago(built)),
    `.${compared}`,
    compared ? element("span", { title: names }, ` by ${counted(features.length, "feature")}.`) : null,
  );
}

/** Format the age of a time of the server. */
export function ago(when) {
  if (!when) return "never";
  const seconds = Math.max(0, (Date.now() - new Date(when)) / 1000);
  return seconds < 60 ? "just now" : `${duration(seconds)} ago`;
}

/** Format a time of day, with the date unless it is today. */
export function clock(when) {
  const time = new Date(when);
  const words = time.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  return time.toDateString() === new Date().toDateString() ? words : `${time.toLocaleDateString("en-CA")} ${words}`;
}

function namesOf(some) {
  return some.map(({ name }) => name).join(", ");
}
