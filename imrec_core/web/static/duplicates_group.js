/** One group of copies: the files side by side, what makes one of them stay, and what verified each pair. */

import { thumbnail } from "./api.js";
import { counted, element, fileName } from "./dom.js";

const TIERS = { identical: "the same bytes", same_pixels: "the same pixels", near: "nearly the same", edited: "cropped, turned or mirrored" };

/** The card of a group, the `number`-th; `decide(decision)` notes one, `compare(copies, at)` shows two files large. */
export function groupCard(group, number, { decide, compare }) {
  const { copies, pairs, tier } = group;
  const heading = `Group ${number}: ${counted(copies.length, "file")}, ${TIERS[tier] ?? tier}`;
  const items = copies.map((copy, place) => copyItem(copy, place, copies, { decide, compare }));
  return element(
    "article",
    { class: copies.length > 2 ? "group card many" : "group card", tabindex: 0, "aria-label": heading },
    element("h2", {}, element("span", { class: "soft" }, `${number}`), ` ${counted(copies.length, "file")} `, element("span", { class: "badge" }, TIERS[tier] ?? tier)),
    element("ul", { class: "pictures" }, ...items),
    pairList(pairs, copies, decide),
  );
}

function copyItem(copy, place, copies, { decide, compare }) {
  const image = element("img", { src: thumbnail(copy.image_id), alt: fileName(copy.path), loading: "lazy" });
  image.addEventListener("error", () => image.classList.add("missing"));
  const other = place === 0 ? 1 : 0;
  const large = element("button", { type: "button", class: "picture", title: "Compare large", "aria-label": `Compare ${fileName(copy.path)} large`, onclick: () => compare(copies, [Math.min(place, other), Math.max(place, other)]) }, image);
  const fate = element("span", { class: "fate" });
  const keep = keepButton(copy, place, decide, (isDecided) => {
    item.classList.toggle("stays", copy.is_kept || isDecided);
    fate.textContent = isDecided ? "always stays" : copy.is_kept ? "stays" : "would be moved";
  });
  const item = element("li", { class: "copy" }, large, fate, element("strong", { class: "name", title: copy.path }, fileName(copy.path)), facts(copy, copies), keep);
  keep.show();
  return item;
}

/** Keeps all files of the same bytes, and takes that back. */
function keepButton(copy, place, decide, onShow) {
  let isDecided = copy.decided ?? false;
  const name = fileName(copy.path);
  const button = element("button", { type: "button", dataset: { key: place + 1 }, "aria-keyshortcuts": place < 9 ? String(place + 1) : undefined, onclick: act }, "Always keep");
  button.show = () => {
    button.setAttribute("aria-pressed", String(isDecided));
    onShow(isDecided);
  };
  function act() {
    const [action, opposite] = isDecided ? ["undo_keep", "keep"] : ["keep", "undo_keep"];
    const wanted = !isDecided;
    const words = wanted ? `${name} is always kept` : `${name} is kept by the rule alone`;
    decide({ action, opposite, images: [copy.image_id], words, shown: (is) => ((isDecided = is ? wanted : !wanted), button.show()) });
  }
  return button;
}

/** What differs between the files is what matters. */
function facts(copy, copies) {
  const differs = (name) => copies.some((other) => other[name] !== copy[name]);
  const most = (name) => differs(name) && copies.every((other) => other[name] <= copy[name]);
  const pixels = copy.width * copy.height;
  const largest = copies.some((other) => other.width * other.height !== pixels) && copies.every((other) => other.width * other.height <= pixels);
  const rows = [
    ["Size", `${copy.width} × ${copy.height}`, largest],
    ["Bytes", bytes(copy.byte_size), most("byte_size")],
    ["Date", dated(copy.mtime_ns), false],
    ["Place", `${copy.source}/${copy.path}`, false],
  ];
  return element("dl", { class: "facts small" }, ...rows.flatMap(([name, value, isMost]) => [element("dt", {}, name), element("dd", { class: isMost ? "most" : "" }, value)]));
}

export function bytes(count) {
  return count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

export function dated(mtimeNs) {
  return new Date(Number(mtimeNs) / 1e6).toLocaleDateString("en-CA");
}

function pairList(pairs, copies, decide) {
  if (!pairs.length) return element("p", { class: "soft small same" }, "All of these have the same bytes.");
  const rows = pairs.map((pair, place) => pairRow(pair, place, copies, decide));
  if (rows.length === 1) return element("ul", { class: "pairs small" }, ...rows);
  const first = element("ul", { class: "pairs small" }, ...rows);
  return element("details", { class: "pair-details", open: rows.length <= 3 }, element("summary", { class: "small" }, counted(rows.length, "pair")), first);
}

function pairRow({ contents, tier, agreement, how }, place, copies, decide) {
  const ends = contents.map((content) => copies.find((copy) => copy.content_hash === content));
  const [a, b] = ends.map((copy) => fileName(copy.path));
  let isApart = false;
  const said = element("span", { class: "how" });
  const button = element("button", { type: "button", class: "quiet", dataset: place ? {} : { key: "n" }, onclick: act });
  const row = element("li", {}, element("span", { class: "names" }, `${a} – ${b}`), said, button);
  function show() {
    row.classList.toggle("apart", isApart);
    said.textContent = isApart ? "no duplicates, you said" : `${TIERS[tier] ?? tier}: ${how}, agreement ${(100 * agreement).toFixed(agreement > 0.995 ? 1 : 0)} %`;
    button.textContent = isApart ? "Undo" : "Not duplicates";
    button.setAttribute("aria-label", `${button.textContent}: ${a} and ${b}`);
  }
  function act() {
    const [action, opposite] = isApart ? ["undo_not_duplicates", "not_duplicates"] : ["not_duplicates", "undo_not_duplicates"];
    const wanted = !isApart;
    const words = `${a} and ${b} are ${wanted ? "no duplicates" : "compared again"}`;
    decide({ action, opposite, images: ends.map((copy) => copy.image_id), words, shown: (is) => ((isApart = is ? wanted : !wanted), show()) });
  }
  show();
  return row;
}
