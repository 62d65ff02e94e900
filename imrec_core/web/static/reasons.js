/** Explanation of a hit: lines between matching keypoints, shared colours, and a summary in words. */

import { thumbnail } from "./api.js";
import { isShares } from "./crop.js";
import { counted, drawing, element } from "./dom.js";
import { pictureOf } from "./tray.js";

const HEIGHT = 300; // of both images in the drawing
const GAP = 12;
const LINES = 60; // more are not distinguishable

/** Create the explanation from a response of `/api/explain`; `entries` are the likes of the request. */
export function reasonsOf(why, entries, imageId) {
  const entry = why.query ? entries[why.query.entry] : null;
  const words = wordsOf(why, entry);
  const shown = [element("p", {}, words)];
  if (entry && why.points.length) shown.unshift(linesOf(why, entry, imageId, words));
  if (why.colours.length) shown.push(...swatches(why.colours));
  return shown;
}

function wordsOf(why, entry) {
  if (!entry) return "The query has no picture to compare with.";
  const turned = why.mirrored ? " with the mirrored query" : "";
  const shared = why.colours.length;
  const colours = shared ? ` They share ${counted(shared, "colour")}.` : " They share no colour.";
  if (!why.points.length) return `No matching details.${colours}`;
  return `${why.agree} of ${counted(why.alike, "matching detail")} agree in position${turned}.${colours}`;
}

/** Draw the query on the left, the hit on the right, and a line for each matching keypoint. */
function linesOf({ query, hit, points }, entry, imageId, words) {
  const left = { width: (query.width / query.height) * HEIGHT, scale: HEIGHT / query.height };
  const right = {
    width: (hit.width / hit.height) * HEIGHT,
    scale: HEIGHT / hit.height,
    x: (query.width / query.height) * HEIGHT + GAP,
  };
  const every = Math.max(1, points.length / LINES);
  const few = points.filter((_, at) => Math.floor(at / every) !== Math.floor((at - 1) / every));
  const lines = few.map(([qx, qy, hx, hy], at) => {
    const [x1, y1, x2, y2] = [qx * left.scale, qy * left.scale, right.x + hx * right.scale, hy * right.scale];
    const colour = { "--part": `var(--part-${at % 8})` };
    return drawing(
      "g",
      { style: colour },
      drawing("line", { x1, y1, x2, y2 }),
      drawing("circle", { cx: x1, cy: y1, r: 3 }),
      drawing("circle", { cx: x2, cy: y2, r: 3 }),
    );
  });
  return drawing(
    "svg",
    {
      class: "lines",
      viewBox: `0 0 ${right.x + right.width} ${HEIGHT}`,
      role: "img",
      "aria-label": `The query and the hit side by side. ${words}`,
    },
    drawing("image", { href: pictureOf(entry, 640), width: left.width, height: HEIGHT, preserveAspectRatio: "none" }),
    drawing(
      "image",
      { href: thumbnail(imageId, 640), x: right.x, width: right.width, height: HEIGHT, preserveAspectRatio: "none" },
    ),
    partOf(entry, left.width),
    ...lines,
  );
}

/** Draw the frame of the part that is searched by; null for a whole picture. */
function partOf({ crop }, wide) {
  if (!isShares(crop)) return null;
  const [x, y, width, height] = crop;
  return drawing(
    "rect",
    { class: "part-box", x: x * wide, y: y * HEIGHT, width: width * wide, height: height * HEIGHT },
  );
}

function swatches(colours) {
  const items = colours.map(({ rgb, in_query: inQuery, in_hit: inHit }) => {
    const colour = `rgb(${rgb.map(Math.round).join(" ")})`;
    return element(
      "li",
      {},
      element("i", { class: "swatch", style: { background: colour }, "aria-hidden": "true" }),
      element("span", { class: "unseen" }, `${colour}: `),
      element("span", { class: "small soft" }, `${percent(inQuery)} · ${percent(inHit)}`),
    );
  });
  return [
    element("p", { class: "soft small", id: "swatches" }, "Shared colours: share of the query · of the hit"),
    element("ul", { class: "swatches", "aria-labelledby": "swatches" }, ...items),
  ];
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}

/** Create a table of score, distance and rank of a hit by each feature. */
export function partsOf(hit, features) {
  const rows = features.filter((name) => hit.parts[name]).map((name, at) => {
    const { score, distance, rank, false_match_rate: rate, unlike, note } = hit.parts[name];
    const bar = element(
      "span",
      { class: "bars" },
      element("i", { style: { "--part": `var(--part-${at % 8})`, "--score": score ?? 0 } }),
    );
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, name, bar, note ? element("span", { class: "soft small" }, note) : null),
      element(
        "td",
        { class: "number" },
        digits(score),
        unlike
          ? element("span", { class: "soft", title: "score that the unlikes take" }, ` − ${digits(unlike)}`)
          : null,
      ),
      element("td", { class: "number" }, distance === null || note ? "–" : distance.toPrecision(4)),
      element("td", { class: "number" }, rank.toLocaleString("en")),
      element("td", { class: "number" }, rate === null ? "–" : rate ? rate.toPrecision(2) : "0"),
    );
  });
  const heads = [
    ["Feature", ""],
    ["Score", "number"],
    ["Distance", "number"],
    ["Rank", "number"],
    ["False match rate", "number"],
  ];
  const head = element("tr", {}, ...heads.map(([words, kind]) => element("th", { scope: "col", class: kind }, words)));
  return element("table", { class: "parts small" }, element("thead", {}, head), element("tbody", {}, ...rows));
}

/** Format a score. */
export function digits(score) {
  return score === null || score === undefined ? "–" : score.toFixed(3);
}
