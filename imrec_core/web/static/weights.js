/** Controls of the weights: mixes by name, and a slider and a metric for each feature. */

import { debounced, element, fill, toast } from "./dom.js";

const MAIN = 4; // features that are shown first

/** Create the controls; calls `onChange(by, {sliding})`. */
export function makeWeights(offered, onChange) {
  const features = new Map(offered.features.map((feature) => [feature.name, feature]));
  const mix = element(
    "select",
    { id: "mix", onchange: (event) => event.target.value !== "own" && onChange(event.target.value || null, {}) },
    element("option", { value: "" }, `Default: ${offered.default}`),
    ...offered.mixes.map(({ name }) => element("option", { value: `mix:${name}` }, `Mix: ${name}`)),
    element("option", { value: "own" }, "Own weights"),
  );
  const rows = new Map(offered.features.map((feature) => [feature.name, row(feature)]));
  const [main, rest] = ranked(offered);
  const more = element(
    "details",
    { class: "more", hidden: !rest.length },
    element("summary", {}, `${rest.length} more`),
    ...rest.map((name) => rows.get(name).root),
  );
  const root = element(
    "section",
    { class: "weights", "aria-labelledby": "weights-title" },
    element(
      "div",
      { class: "head" },
      element("h2", { id: "weights-title" }, "Weights"),
      element("label", { class: "unseen", for: "mix" }, "Mix"),
      mix,
    ),
    ...main.map((name) => rows.get(name).root),
    more,
  );
  let weights = new Map(); // feature → {weight, metric}

  function row(feature) {
    const id = `weight-${feature.name}`;
    const slide = debounced(() => changed(true), 180);
    const said = element("output", { for: id, class: "small soft" });
    const slider = element("input", {
      type: "range", id, min: 0, max: 1, step: 0.05,
      oninput: () => (set(feature.name, { weight: slider.valueAsNumber }), slide()),
    });
    const metric = element(
      "select",
      {
        "aria-label": `Metric of ${feature.name}`,
        class: "metric small",
        disabled: feature.metrics.length < 2,
        onchange: () => (set(feature.name, { metric: metric.value }), changed(false)),
      },
      ...feature.metrics.map((name) => element("option", { value: name }, name)),
    );
    const shown = element(
      "div",
      { class: "weight" },
      element(
        "label",
        { for: id, title: feature.about },
        element("i", { class: "dot", "aria-hidden": "true" }),
        feature.name,
      ),
      metric, slider, said,
    );
    return { root: shown, slider, metric, said };
  }

  function set(name, change) {
    weights.set(name, { weight: 0, metric: features.get(name).metric, ...weights.get(name), ...change });
    draw();
  }

  function changed(sliding) {
    const by = byOf(weights, features);
    mix.value = "own";
    if (Object.keys(by).length) onChange(by, { sliding });
    else toast("At least one feature needs a weight above 0.");
  }

  function draw() {
    const chosen = [...weights].filter(([, { weight }]) => weight > 0).map(([name]) => name);
    for (const [name, { root: shown, slider, metric, said }] of rows) {
      const { weight, metric: by } = weights.get(name) ?? { weight: 0, metric: features.get(name).metric };
      if (slider.valueAsNumber !== weight) slider.value = weight;
      metric.value = by;
      fill(said, weight ? String(Number(weight.toFixed(2))) : "–");
      shown.classList.toggle("on", weight > 0);
      shown.style.setProperty("--value", weight);
      shown.style.setProperty("--part", `var(--part-${Math.max(chosen.indexOf(name), 0) % 8})`);
    }
  }

  return {
    root,
    /** Show the weights of a search. */
    show(by) {
      weights = weightsOf(by, offered);
      mix.value = by === null ? "" : typeof by === "string" ? by : "own";
      if (mix.selectedIndex < 0) mix.value = "own";
      if (rest.some((name) => weights.get(name)?.weight)) more.open = true;
      draw();
    },
  };
}

/** Return the main features, one of each kind, the default and those of mixes first; and all others. */
function ranked({ features, mixes, default: first }) {
  const mixed = new Set(mixes.flatMap(({ weights }) => Object.keys(weights).map((name) => name.split(":")[0])));
  const late = ({ name }) => (name === first ? 0 : mixed.has(name) ? 1 : 2);
  const kinds = new Set();
  const main = [];
  for (const { name, kind } of [...features].sort((a, b) => late(a) - late(b))) {
    if (main.length < MAIN && !kinds.has(kind) && kind !== "projections") main.push(name);
    kinds.add(kind);
  }
  return [main, features.map(({ name }) => name).filter((name) => !main.includes(name))];
}

/** Return feature → {weight, metric} of a search; weights above 1 are scaled down together. */
export function weightsOf(by, { features, mixes, default: first }) {
  const mix = mixes.find(({ name }) => by === `mix:${name}`);
  const given = by === null ? { [first]: 1 } : typeof by === "string" ? (mix?.weights ?? {}) : by;
  const most = Math.max(1, ...Object.values(given));
  const found = new Map();
  for (const [name, weight] of Object.entries(given)) {
    const feature = features.find((one) => one.name === name.split(":")[0]);
    if (feature) found.set(feature.name, { weight: weight / most, metric: name.split(":")[1] ?? feature.metric });
  }
  return found;
}

function byOf(weights, features) {
  const by = {};
  for (const [name, { weight, metric }] of weights) {
    if (weight > 0) by[metric === features.get(name).metric ? name : `${name}:${metric}`] = Number(weight.toFixed(3));
  }
  return by;
}
