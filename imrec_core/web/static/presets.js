/** Presets: ways to search in plain words, each offered if the lake has a feature for it. */

import { element, fill } from "./dom.js";
import { weightsOf } from "./weights.js";

const HASHES = ["pdq", "phash", "dhash"]; // the most robust first
const WORDS = {
  content: ["Content", "The same kind of thing, whatever its colours."],
  colours: ["Colours", "The same colours, whatever the pictures show."],
  copies: ["Copies and crops", "The same picture: resized, cropped, turned or edited."],
  structure: ["Structure", "The same edges and textures, whatever their colours."],
};

/** Create the choice of a preset, with `adjust` (the weights) behind it; calls `onChange(by)`. */
export function makePresets(offered, adjust, onChange) {
  const presets = presetsOf(offered);
  let search = null;
  const buttons = presets.map(({ name, by }) => element(
    "button",
    {
      type: "button",
      dataset: { preset: name },
      "aria-describedby": "preset-about",
      title: WORDS[name][1],
      onclick: () => onChange(hasText(search) ? null : by),
    },
    WORDS[name][0],
  ));
  const about = element("p", { class: "soft small", id: "preset-about" });
  const details = element("details", { class: "adjust" }, element("summary", {}, "Adjust"), adjust);
  const root = element(
    "section",
    { class: "presets" },
    element("h2", { id: "presets-title" }, "Search by"),
    element("div", { class: "choices", role: "group", "aria-labelledby": "presets-title" }, ...buttons),
    about,
    details,
  );
  return {
    root,
    /** Mark the preset of a search; show its weights if it has none. */
    show(shown) {
      search = shown;
      const words = hasText(search);
      const isChosen = ({ name, by }) => (words ? name === "content" : isSame(by, search.by, offered));
      const chosen = presets.find(isChosen);
      buttons.forEach((button, at) => {
        button.setAttribute("aria-pressed", String(presets[at] === chosen));
        button.disabled = words && presets[at].name !== "content";
      });
      fill(about, words ? "Words find pictures by their content." : aboutOf(chosen, search.by, offered));
      if (!presets.length || (!chosen && search.by !== null)) details.open = true;
    },
  };
}

function aboutOf(chosen, by, offered) {
  if (chosen) return WORDS[chosen.name][1];
  if (typeof by === "string") return `The mix ${by.replace("mix:", "")}.`;
  return by ? "Own weights." : `The default of this lake, ${offered.default}.`;
}

/** Return [{name, by}] of the presets that the lake has features for; `by` null is its default feature. */
export function presetsOf({ features, mixes, default: first }) {
  const ofKind = (kind) => features.filter((feature) => feature.kind === kind);
  const networks = ofKind("networks");
  const isContent = networks.some(({ name }) => first === name || first.startsWith(`${name}_`));
  const by = {
    content: isContent ? null : networks.length && mixes.some(({ name }) => name === "same_kind") && "mix:same_kind",
    colours: single(ofKind("colour"), first, ["hsv_histogram"]),
    copies: byOfCopies(features, mixes, first),
    structure: single(ofKind("structure"), first, ["hog"]),
  };
  return Object.keys(WORDS).filter((name) => by[name] || by[name] === null).map((name) => ({ name, by: by[name] }));
}

/** Choose one feature: the default of the lake, or else the first of a list. False if there is none. */
function single(found, first, preferred) {
  if (found.some(({ name }) => name === first)) return null;
  const rank = ({ name }) => (preferred.includes(name) ? preferred.indexOf(name) : preferred.length);
  const [best] = [...found].sort((a, b) => rank(a) - rank(b));
  return best ? { [best.name]: 1 } : false;
}

/** Choose the default mix, which is tuned to edited copies, if it has more than hashes and colours to go by. */
function byOfCopies(features, mixes, first) {
  const kindOf = (part) => features.find(({ name }) => name === part.split(":")[0])?.kind;
  const kinds = Object.keys(mixes.find(({ name }) => name === "default")?.weights ?? {}).map(kindOf);
  const hasCopies = kinds.includes("local") || kinds.includes("hashes");
  if (hasCopies && (kinds.includes("local") || kinds.includes("networks"))) return "mix:default";
  const local = single(features.filter(({ kind }) => kind === "local"), first, []);
  if (local !== false) return local;
  const hashes = features.filter(({ kind }) => kind === "hashes");
  const chosen = single(hashes, null, HASHES);
  if (!chosen) return false;
  const [name] = Object.keys(chosen);
  const turned = hashes.find((hash) => hash.name === name).metrics.includes("hamming_dihedral");
  return { [turned ? `${name}:hamming_dihedral` : name]: 1 };
}

/** Test whether two values of `by` are the same weights. */
function isSame(one, other, offered) {
  if (one === other) return true;
  const [a, b] = [one, other].map((by) => [...weightsOf(by, offered)].filter(([, { weight }]) => weight > 0));
  const shape = (parts) => {
    const most = Math.max(...parts.map(([, { weight }]) => weight));
    const texts = parts.map(([name, { weight, metric }]) => `${name}:${metric}=${(weight / most).toFixed(3)}`);
    return texts.sort().join(" ");
  };
  return a.length > 0 && shape(a) === shape(b);
}

/** Test whether a search has words, which features without text cannot compare. */
export function hasText({ like, unlike }) {
  return [...like, ...unlike].some((entry) => entry.text);
}

/** Return `by` for a search with words: as it is if all its features encode text, else null, the first that does. */
export function byForText(by, offered) {
  if (by === null) return null;
  const names = [...weightsOf(by, offered).keys()];
  const encodes = (name) => offered.features.find((feature) => feature.name === name).understands_text;
  return names.length && names.every(encodes) ? by : null;
}
