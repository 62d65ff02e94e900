/** Colours of the points, by cluster or by a column of the lake, and their legend. */

import { get } from "./api.js";
import { element, fill } from "./dom.js";
import { unpacked } from "./map_points.js";

// Distinct for any colour vision (Okabe & Ito; the last four by Tol, muted), on light and dark backgrounds.
const HUES = [
  [0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [213, 94, 0],
  [200, 190, 40], [136, 34, 85], [68, 170, 153], [153, 153, 51], [136, 120, 220], [170, 68, 85],
];
const GREY = [140, 142, 152]; // no cluster, other values, unknown
// From low to high: cividis from its dark blue on (Nuñez et al. 2018), visible on dark backgrounds, too.
const RAMP = [[30, 72, 140], [87, 93, 109], [125, 124, 120], [166, 157, 117], [210, 193, 95], [254, 232, 56]];
const OTHERS = ["other", "none"]; // the last labels, if there are such values
const DAY = 86_400_000; // milliseconds; dates come as days since 1970
const STRONG = 215; // alpha
const FAINT = 36;

/** Return RGBA of every point, `(count, 4)`, and the entries of the legend. */
export async function coloursOf(map, points, by, signal) {
  if (by === "cluster") return ofClusters(points, map.clusters);
  const answer = await get(`/api/map/${encodeURIComponent(map.name)}/colours`, { by }, { signal });
  return answer.kind === "category" ? ofCategories(answer) : ofNumbers(answer);
}

function ofClusters(points, clusters) {
  const colour = (i) => (points.cluster[i] < 0 ? GREY : hueOf(points.cluster[i]));
  const noise = points.cluster.reduce((count, cluster) => count + (cluster < 0), 0);
  const entries = [{ rgb: null, label: `${clusters.length} clusters, colours repeat` }];
  if (noise) entries.push({
    rgb: GREY,
    label: `in none (${noise.toLocaleString("en")})`,
    has: (i) => points.cluster[i] < 0,
  });
  return { rgba: painted(points.count, colour), entries };
}

/** Return the colour of a cluster; colours repeat. */
export function hueOf(cluster) {
  return HUES[cluster % HUES.length];
}

function ofCategories({ labels, codes: packed }) {
  const codes = unpacked(packed, Uint8Array);
  const isOther = (code) => code >= HUES.length || (code >= labels.length - 2 && OTHERS.includes(labels[code]));
  const counts = new Uint32Array(256);
  for (const code of codes) counts[code]++;
  const colour = (code) => (isOther(code) ? GREY : HUES[code]);
  const entries = labels.map((label, code) => ({
    rgb: colour(code),
    label: `${label === "" ? "(empty)" : label} (${counts[code].toLocaleString("en")})`,
    has: (i) => codes[i] === code,
  }));
  return { rgba: painted(codes.length, (i) => colour(codes[i])), entries };
}

function ofNumbers({ kind, values: packed, low, high }) {
  const values = unpacked(packed, Float32Array);
  const table = Array.from({ length: 256 }, (_, level) => onRamp(level / 255));
  const step = 255 / (high - low || 1);
  const colour = (i) => {
    const level = Math.round((values[i] - low) * step);
    return Number.isNaN(level) ? GREY : table[Math.max(0, Math.min(255, level))];
  };
  const unknown = values.reduce((count, value) => count + Number.isNaN(value), 0);
  const entries = unknown ? [
    { rgb: GREY, label: `unknown (${unknown.toLocaleString("en")})`, has: (i) => Number.isNaN(values[i]) },
  ] : [];
  return { rgba: painted(values.length, colour), entries, ramp: { low: shown(low, kind), high: shown(high, kind) } };
}

function onRamp(part) {
  const at = part * (RAMP.length - 1);
  const i = Math.min(Math.floor(at), RAMP.length - 2);
  return RAMP[i].map((value, channel) => Math.round(value + (RAMP[i + 1][channel] - value) * (at - i)));
}

function shown(value, kind) {
  if (value === null || value === undefined) return "unknown";
  if (kind === "date") return new Date(value * DAY).toISOString().slice(0, 10);
  return Number(value.toPrecision(4)).toLocaleString("en");
}

function painted(count, colour) {
  const rgba = new Uint8Array(4 * count);
  for (let i = 0; i < count; i++) {
    const [red, green, blue] = colour(i);
    rgba[4 * i] = red;
    rgba[4 * i + 1] = green;
    rgba[4 * i + 2] = blue;
    rgba[4 * i + 3] = STRONG;
  }
  return rgba;
}

/** Fade all points except the selected ones; null fades none. */
export function standOut(rgba, chosen) {
  for (let at = 3; at < rgba.length; at += 4) rgba[at] = chosen ? FAINT : STRONG;
  for (const i of chosen ?? []) rgba[4 * i + 3] = 255;
}

/** Show the legend; calls `onChoose(has, label)` when the user selects the points of one entry. */
export function showLegend(root, { entries, ramp }, onChoose) {
  const items = entries.map(({ rgb, label, has }) => {
    const hue = rgb && element("span", { class: "hue", style: { background: `rgb(${rgb})` } });
    const choose = () => onChoose(has, label);
    return element(
      "li",
      {},
      has ? element(
        "button",
        { type: "button", class: "quiet", onclick: choose, title: "Select these" },
        hue,
        label,
      ) : element("span", {}, label),
    );
  });
  const stops = RAMP.map((rgb) => `rgb(${rgb})`).join(", ");
  fill(
    root,
    ramp && element(
      "div",
      { class: "ramp" },
      element("span", {}, ramp.low),
      element("span", { class: "band", style: { background: `linear-gradient(90deg, ${stops})` } }),
      element("span", {}, ramp.high),
    ),
    items.length ? element("ul", {}, ...items) : null,
  );
}
