/** Facts of a picture in words with units; each that can be a filter has a button for it. */

import { copyText } from "./copy.js";
import { element, fill } from "./dom.js";
import { literal, quoted } from "./filter.js";
import { megabytes } from "./uploads.js";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SHOWN_ELSEWHERE = ["source", "path", "tags"];
const LONGEST = 200; // characters of a value that a filter takes

/** Columns of every lake; all others are of the user, and keep their names. */
export const BUILT_IN = [
  "image_id", "source", "path", "byte_size", "mtime_ns", "content_hash", "format", "width", "height", "orientation",
  "aspect", "has_alpha", "frames", "color_profile", "bit_depth", "damaged", "camera", "taken", "latitude", "longitude",
  "brightness", "contrast", "entropy", "sharpness", "is_grey", "tags",
];

/** Create the facts of a response of `/api/images/…`; calls `onFilter(condition)` with SQL. */
export function factsOf(known, onFilter) {
  const facts = { ...known.facts, source: known.source, path: known.path };
  const rows = rowsOf(facts).flatMap(([name, value, ...filters]) => [
    element("dt", {}, name),
    element("dd", {}, value, ...filters.filter(Boolean).map(([words, sql]) => filterButton(words, sql, onFilter))),
  ]);
  const path = known.absolute_path ?? `${known.source}/${known.path}`;
  return [
    element("h3", {}, "Facts"),
    element("dl", { class: "facts words small" }, ...rows),
    copyRow(path, known.image_id),
    technicalDetails({ image_id: known.image_id, ...known.facts }),
  ];
}

/** Return [name, value, [words, SQL] …] of each fact that the picture has. */
function rowsOf(facts) {
  const { camera, taken, mtime_ns: changed, frames, bit_depth: bits } = facts;
  return [
    ["Picture", pictureOf(facts), sizeFilter(facts), same("format", facts.format)],
    ["Taken", taken && inWords(taken), taken && ["Same day", dayFilter(taken)]],
    ["Camera", camera, same("camera", camera)],
    ["Place", placeOf(facts)],
    ["Folder", folderOf(facts), ["Same folder", folderFilter(facts)]],
    ["File changed", changed && inWords(localTime(Number(changed) / 1e6))],
    ["Colour profile", facts.color_profile],
    ["Frames", frames > 1 && String(frames)],
    ["Depth", bits > 8 && `${bits} bits a channel`],
    ["Colours", facts.is_grey && "Black and white"],
    ["Damaged", facts.damaged && "Part of the file is damaged or missing"],
    ...Object.keys(facts).filter((name) => !BUILT_IN.includes(name)).map((name) => ownRow(name, facts[name])),
  ].filter(([, value]) => value !== null && value !== undefined && value !== false && value !== "" && value !== 0);
}

function ownRow(name, value) {
  if (value === null || typeof value === "object") return [name, value && JSON.stringify(value)];
  const isExact = typeof value !== "number" || Number.isInteger(value); // rounded numbers equal none
  return [name, readable(value), isExact && same(name, value)];
}

function pictureOf({ width, height, format, byte_size: bytes }) {
  return [width && height && `${width} × ${height}`, format, bytes && sizeOf(bytes)].filter(Boolean).join(" · ");
}

function sizeOf(bytes) {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : megabytes(bytes);
}

function placeOf({ latitude, longitude }) {
  if (latitude === null || latitude === undefined || longitude === null || longitude === undefined) return null;
  const part = (degrees, positive, negative) => `${Math.abs(degrees).toFixed(4)}° ${degrees < 0 ? negative : positive}`;
  return `${part(latitude, "N", "S")}, ${part(longitude, "E", "W")}`;
}

function folderOf({ source, path }) {
  return `${source}/${path}`.slice(0, `${source}/${path}`.lastIndexOf("/"));
}

/** Format a time as it is written, without a time zone: `1 Apr 2018, 08:26`. */
export function inWords(time) {
  const found = /^(\d+)-(\d\d)-(\d\d)(?:[T ](\d\d:\d\d))?/.exec(time);
  if (!found) return String(time);
  const [, year, month, day, clock] = found;
  return `${Number(day)} ${MONTHS[month - 1]} ${year}${clock ? `, ${clock}` : ""}`;
}

/** Return an instant by the clock of this machine, as `2018-04-01T08:26`. */
function localTime(milliseconds) {
  const time = new Date(milliseconds);
  return new Date(milliseconds - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function same(name, value) {
  if (value === null || value === undefined || value === "" || String(value).length > LONGEST) return null;
  return [`Same ${name}`, `${quoted(name)} = ${literal(value)}`];
}

function sizeFilter({ width, height }) {
  return width && height ? ["Same size", `width = ${width} AND height = ${height}`] : null;
}

function dayFilter(taken) {
  const day = taken.slice(0, 10);
  return `CAST(taken AS DATE) = ${literal(day)}`;
}

function folderFilter({ source, path }) {
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  const inside = folder ? `starts_with(path, ${literal(folder)})` : "NOT contains(path, '/')";
  return `source = ${literal(source)} AND ${inside}`;
}

/** Join a condition to a filter; one that it has already is not repeated. */
export function joined(where, condition) {
  if (!where || where === condition) return condition;
  if (where.endsWith(` AND ${condition}`) || where.startsWith(`${condition} AND `)) return where;
  return `${/\bor\b/i.test(where) ? `(${where})` : where} AND ${condition}`;
}

function filterButton(words, condition, onFilter) {
  const attributes = { type: "button", class: "chip small", title: `Filter by ${condition}` };
  return element("button", { ...attributes, onclick: () => onFilter(condition) }, words);
}

/** Create the path with buttons that copy it and the id. */
function copyRow(path, imageId) {
  const shown = element("p", { class: "path small soft" }, path);
  const said = element("span", { class: "small soft", role: "status" });
  const say = (words) => fill(said, words); // toasts are below the dialog
  const button = (words, text, node) => element(
    "button",
    { type: "button", class: "small", title: text, onclick: () => copyText(text, node, say) },
    words,
  );
  const id = element("code", { class: "unseen" }, imageId);
  return element(
    "div",
    { class: "copying" },
    shown,
    element("div", { class: "actions" }, button("Copy path", path, shown), button("Copy id", imageId, id), said, id),
  );
}

function technicalDetails(facts) {
  const names = Object.keys(facts).filter((name) => !SHOWN_ELSEWHERE.includes(name));
  const rows = names
    .filter((name) => facts[name] !== null && facts[name] !== undefined && facts[name] !== "")
    .flatMap((name) => [element("dt", {}, name), element("dd", {}, readable(facts[name]))]);
  return element(
    "details",
    { class: "technical small" },
    element("summary", {}, "Technical details"),
    element("dl", { class: "facts small" }, ...rows),
  );
}

function readable(value) {
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(5)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
