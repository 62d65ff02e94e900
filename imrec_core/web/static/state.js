/**
 * The state of the search, and its form as a URL.
 *
 * An entry of the tray is {image_id} | {upload} | {text}, with an optional `weight` (default 1) and for an image an
 * optional `crop` [x, y, width, height], in fractions or, if all are integers, in pixels of the upright image. `by` is
 * null (the default feature), "mix:NAME" or {"feature" or "feature:metric": weight}. `names` are words in paths of
 * images, which a request has in its `where`. `within` is null or {map, polygon}.
 */

import { whereOf } from "./names.js";

export const BLANK = Object.freeze({
  like: [],
  unlike: [],
  by: null,
  where: "",
  names: "",
  order_by: "",
  pool: "mean",
  fuse: "score",
  diversify: 0,
  distinct: "",
  with_self: "",
  max_false_match_rate: null,
  within: null,
  open: null,
});

const KINDS = { image: "image_id", upload: "upload", text: "text" };
const WORDS = ["where", "names", "order_by", "pool", "fuse", "distinct", "with_self", "open"];

let current = { ...BLANK };

/** Return the current search, or that of the last visit of the view. Do not modify it; create a copy. */
export function currentSearch() {
  return current;
}

/** Set the current search. */
export function keepSearch(search) {
  current = search;
}

/** Convert a search to a short URL: `/?like=image:0123…&where=width > 800`. */
export function addressOf(search) {
  const params = new URLSearchParams();
  for (const side of ["like", "unlike"]) {
    for (const entry of search[side]) if (!entry.file) params.append(side, written(entry));
  }
  if (typeof search.by === "string") params.append("by", search.by);
  else for (const [name, weight] of Object.entries(search.by ?? {})) params.append("by", `${name}=${weight}`);
  for (const name of WORDS) if (search[name] && search[name] !== BLANK[name]) params.set(name, search[name]);
  if (search.diversify) params.set("diversify", search.diversify);
  if (search.max_false_match_rate !== null) params.set("rate", search.max_false_match_rate);
  if (search.within) {
    params.set("map", search.within.map);
    params.set("polygon", search.within.polygon.flat().map((number) => Number(number.toPrecision(6))).join(" "));
  }
  return params.size ? `/?${String(params).replaceAll("%3A", ":")}` : "/";
}

/** Parse the search of a URL; missing and invalid parameters have the values of `BLANK`. */
export function searchOf(params) {
  const search = { ...BLANK, like: [], unlike: [] };
  for (const side of ["like", "unlike"]) search[side] = params.getAll(side).map(read).filter(Boolean);
  search.by = readWeights(params.getAll("by"));
  for (const name of WORDS) search[name] = params.get(name) || BLANK[name];
  search.diversify = readNumber(params.get("diversify")) ?? 0;
  search.max_false_match_rate = readNumber(params.get("rate"));
  search.within = readWithin(params);
  return search;
}

/** Format an entry: `image:ID`, `upload:HANDLE`, with `#x,y,w,h` for a part, or `text:WORDS`, after `WEIGHT*`. */
function written(entry) {
  const kind = Object.keys(KINDS).find((name) => KINDS[name] in entry);
  const weight = entry.weight ?? 1;
  return `${weight === 1 ? "" : `${weight}*`}${kind}:${entry[KINDS[kind]]}${entry.crop ? `#${entry.crop}` : ""}`;
}

function read(text) {
  const found = /^(?:([\d.]+)\*)?(image|upload|text):(.+)$/s.exec(text);
  if (!found) return null;
  const [, weight, kind, value] = found;
  const part = kind === "text" ? null : /^(\w+)#([\d.]+(?:,[\d.]+){3})$/.exec(value);
  const entry = part ? { [KINDS[kind]]: part[1], crop: part[2].split(",").map(Number) } : { [KINDS[kind]]: value };
  return weight === undefined ? entry : { ...entry, weight: readNumber(weight) ?? 1 };
}

function readWeights(texts) {
  if (!texts.length) return null;
  if (texts.length === 1 && !texts[0].includes("=")) return texts[0].startsWith("mix:") ? texts[0] : { [texts[0]]: 1 };
  const pairs = texts.map((text) => /^(.*?)(?:=([\d.]+))?$/s.exec(text));
  return Object.fromEntries(pairs.map(([, name, weight]) => [name, readNumber(weight) ?? 1]));
}

function readWithin(params) {
  const numbers = (params.get("polygon") ?? "").split(" ").map(Number);
  if (!params.get("map") || numbers.length < 6 || numbers.length % 2 || !numbers.every(Number.isFinite)) return null;
  const polygon = numbers.flatMap((x, i) => (i % 2 ? [] : [[x, numbers[i + 1]]]));
  return { map: params.get("map"), polygon };
}

function readNumber(text) {
  const number = Number.parseFloat(text);
  return Number.isFinite(number) ? number : null;
}

/** Test whether a search has no query, so that it only filters and orders. */
export function isQueryless({ like, unlike }) {
  return like.length + unlike.length === 0;
}

/** Number of best hits that `order_by` and `diversify` apply to, and from which pages are taken. */
export const REACH = 200;

/** Test whether a search orders or diversifies the best hits as a whole. */
export function isOfBest({ like, unlike, order_by, diversify }) {
  return like.length + unlike.length > 0 && Boolean(order_by || diversify);
}

/** Convert a search to the body of a request. */
export function requestOf(search, more = {}) {
  const { like, unlike, by, pool, fuse, diversify, max_false_match_rate, within } = search;
  const plain = (entries) => entries.map(({ image_id, upload, text, file, weight, crop }) => ({
    image_id,
    upload,
    text,
    file,
    weight,
    crop,
  }));
  const [order_by, distinct] = [search.order_by, search.distinct].map((words) => words || null);
  const where = whereOf(search);
  return {
    like: plain(like), unlike: plain(unlike), by, pool, fuse, diversify, max_false_match_rate, within,
    where, order_by, distinct, with_self: Boolean(search.with_self), reach: isOfBest(search) ? REACH : null, ...more,
  };
}
