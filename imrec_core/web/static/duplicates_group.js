/** One group of copies: the files side by side, which of them are kept, and the comparison of each pair. */

import { thumbnail } from "./api.js";
import { counted, element, fileName } from "./dom.js";

const TIERS = {
  identical: "the same bytes",
  same_pixels: "the same pixels",
  near: "nearly the same",
  edited: "cropped, rotated or mirrored",
  variant: "the same except for a detail",
};

/**
 * Create the card of group `number`; `decide(decision)` saves a decision, `compare(copies, at)` opens two files, and
 * `outcomes(ids)` asks what the plan would do with images.
 */
export function groupCard(group, number, { decide, compare, outcomes }) {
  const { copies, pairs, tier } = group;
  const heading = `Group ${number}: ${counted(copies.length, "file")}, ${TIERS[tier] ?? tier}`;
  const kept = new Set(copies.filter((copy) => copy.decided).map((copy) => copy.content_hash));
  const apart = new Set(); // pairs marked as no duplicates
  let changes = 0;
  const large = (at) => compare(copies.map((copy) => ({ ...copy, is_kept: stays(copy) })), at);
  const act = (set, one, action, said) => decide({ ...toggled(set, one, action, guess), saved: ask, ...said });
  const items = copies.map((copy, place) => copyItem(
    copy,
    place,
    copies,
    { large, keep: (said) => act(kept, copy.content_hash, "keep", said) },
  ));
  const rows = pairs.map((pair, place) => pairRow(
    pair,
    place,
    copies,
    (said) => act(apart, pair, "not_duplicates", said),
  ));
  function show() {
    copies.forEach((copy, place) => {
      const isDecided = kept.has(copy.content_hash);
      items[place].show(stays(copy), fate(copy, isDecided), isDecided);
    });
    pairs.forEach((pair, place) => rows[place].show(apart.has(pair)));
  }
  /** Show what a decision changes, until the server says what the plan would do. */
  function guess() {
    changes++;
    const staysNow = staying(group, kept, apart);
    for (const copy of copies) copy.is_kept = staysNow.has(copy);
    show();
  }
  async function ask() {
    const before = changes;
    const answer = await outcomes(copies.map((copy) => copy.image_id));
    if (!answer || changes !== before) return;
    for (const copy of copies) Object.assign(copy, answer[copy.image_id] ?? { is_kept: true }); // in no group any more
    show();
  }
  show();
  return element(
    "article",
    { class: copies.length > 2 ? "group card many" : "group card", tabindex: 0, "aria-label": heading },
    element(
      "h2",
      {},
      element("span", { class: "soft" }, `${number}`),
      ` ${counted(copies.length, "file")} `,
      element("span", { class: "badge" }, TIERS[tier] ?? tier),
      element("span", { class: "soft small" }, ` ${fileName(copies[0].path)} stays: it ${group.why}.`),
    ),
    element("ul", { class: "pictures" }, ...items),
    pairList(rows),
  );
}

function stays(copy) {
  return copy.is_kept || Boolean(copy.left);
}

/** Say what the plan would do with a file. */
function fate(copy, isDecided) {
  if (copy.is_kept) return isDecided ? "always stays" : "stays";
  if (copy.left) return `stays: ${copy.left}`;
  return `would be moved${copy.moves_with.length ? ` with ${copy.moves_with.join(", ")}` : ""}`;
}

/**
 * Return the files to keep: one of each content that is always kept, else the first by the rule. Two contents that are
 * no duplicates are two groups; only the server knows how a larger group splits.
 */
function staying({ copies, pairs }, kept, apart) {
  const contents = [...new Set(copies.map((copy) => copy.content_hash))];
  const parts = pairs.length === 1 && apart.size ? contents.map((content) => [content]) : [contents];
  const ranked = [...copies].sort((a, b) => a.rank - b.rank);
  const first = (some) => ranked.find((copy) => some.includes(copy.content_hash));
  const compared = (content) => pairs.filter((pair) => pair.contents.includes(content)).length;
  const ofPart = (part) => {
    const always = part.filter((content) => kept.has(content));
    // In a large group one file stays that was compared with all others, whatever else is kept.
    const isEnough = always.some((content) => compared(content) >= part.length - 1);
    return [...(isEnough ? [] : [first(part)]), ...always.map((content) => first([content]))];
  };
  return new Set(parts.flatMap(ofPart));
}

/** Create a decision that adds an item to a set or removes it; `show` then updates the card. */
function toggled(set, one, action, show) {
  const [wanted, undo] = [!set.has(one), `undo_${action}`];
  const shown = (is) => (set[is === wanted ? "add" : "delete"](one), show());
  return { action: wanted ? action : undo, opposite: wanted ? undo : action, shown };
}

function copyItem(copy, place, copies, { large, keep }) {
  const image = element("img", { src: thumbnail(copy.image_id), alt: fileName(copy.path), loading: "lazy" });
  image.addEventListener("error", () => image.classList.add("missing"));
  const other = place === 0 ? 1 : 0;
  const picture = element(
    "button",
    {
      type: "button",
      class: "picture",
      title: "Compare in large",
      "aria-label": `Compare ${fileName(copy.path)} large`,
      onclick: () => large([Math.min(place, other), Math.max(place, other)]),
    },
    image,
  );
  const said = element("span", { class: "fate" });
  const button = keepButton(copy, place, copies, keep);
  const item = element(
    "li",
    { class: "copy" },
    picture,
    said,
    element("strong", { class: "name", title: copy.path }, fileName(copy.path)),
    facts(copy, copies),
    button,
  );
  item.show = (isStaying, words, isDecided) => {
    item.classList.toggle("stays", isStaying);
    said.textContent = words;
    button.setAttribute("aria-pressed", String(isDecided));
  };
  return item;
}

/** Create the button that always keeps a file with these bytes, or undoes that. */
function keepButton(copy, place, copies, keep) {
  const name = fileName(copy.path);
  const isOneOf = copies.filter((other) => other.content_hash === copy.content_hash).length > 1;
  const what = isOneOf ? `One file with the bytes of ${name}` : name;
  const button = element(
    "button",
    {
      type: "button",
      dataset: { key: place + 1 },
      "aria-keyshortcuts": place < 9 ? String(place + 1) : undefined,
      onclick: act,
    },
    "Always keep",
  );
  function act() {
    const isDecided = button.getAttribute("aria-pressed") === "true";
    keep({ images: [copy.image_id], words: `${what} is ${isDecided ? "kept by the rule alone" : "always kept"}` });
  }
  return button;
}

/** List properties of a file, with the largest values of the group marked. */
function facts(copy, copies) {
  const differs = (name) => copies.some((other) => other[name] !== copy[name]);
  const most = (name) => differs(name) && copies.every((other) => other[name] <= copy[name]);
  const pixels = copy.width * copy.height;
  const others = copies.map((other) => other.width * other.height);
  const largest = others.some((other) => other !== pixels) && others.every((other) => other <= pixels);
  const rows = [
    ["Size", `${copy.width} × ${copy.height}${copy.frames > 1 ? `, ${copy.frames} frames` : ""}`, largest],
    ["Bytes", bytes(copy.byte_size), most("byte_size")],
    copy.taken ? ["Taken", copy.taken.slice(0, 10), false] : ["File of", dated(copy.mtime_ns), false],
    ...(copy.camera ? [["Camera", copy.camera, false]] : []),
    ["Place", `${copy.source}/${copy.path}`, false],
    ...(copy.companions.length ? [["Companions", copy.companions.join(", "), false]] : []),
  ];
  return element(
    "dl",
    { class: "facts small" },
    ...rows.flatMap(([name, value, isMost]) => [
      element("dt", {}, name),
      element("dd", { class: isMost ? "most" : "" }, value),
    ]),
  );
}

export function bytes(count) {
  return count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

export function dated(mtimeNs) {
  return new Date(Number(mtimeNs) / 1e6).toLocaleDateString("en-CA");
}

function pairList(rows) {
  if (!rows.length) return element("p", { class: "soft small same" }, "All of these have the same bytes.");
  const list = element("ul", { class: "pairs small" }, ...rows);
  if (rows.length === 1) return list;
  return element(
    "details",
    { class: "pair-details", open: rows.length <= 3 },
    element("summary", { class: "small" }, counted(rows.length, "pair")),
    list,
  );
}

function pairRow({ contents, tier, agreement, how }, place, copies, decide) {
  const ends = contents.map((content) => copies.find((copy) => copy.content_hash === content));
  const [a, b] = ends.map((copy) => fileName(copy.path));
  const said = element("span", { class: "how" });
  const button = element(
    "button",
    { type: "button", class: "quiet", dataset: place ? {} : { key: "n" }, onclick: act },
  );
  const row = element("li", {}, element("span", { class: "names" }, `${a} – ${b}`), said, button);
  row.show = (isApart) => {
    row.classList.toggle("apart", isApart);
    const agreed = `agreement ${(100 * agreement).toFixed(agreement > 0.995 ? 1 : 0)} %`;
    said.textContent = isApart ? "marked as no duplicates" : `${TIERS[tier] ?? tier}: ${how}, ${agreed}`;
    button.textContent = isApart ? "Undo" : "Not duplicates";
    button.setAttribute("aria-label", `${button.textContent}: ${a} and ${b}`);
  };
  function act() {
    const isApart = row.classList.contains("apart");
    decide({
      images: ends.map((copy) => copy.image_id),
      words: `${a} and ${b} are ${isApart ? "compared again" : "no duplicates"}`,
    });
  }
  return row;
}
