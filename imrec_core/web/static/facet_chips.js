/** A facet of few values: a chip for each, with its number of pictures. */

import { counted, element, fill } from "./dom.js";

const FEW = 6; // chips before "more"

/** Create the chips; calls `onChoose(conditions)`. */
export function makeChips(onChoose) {
  const list = element("div", { class: "chips" });
  const more = element("button", {
    type: "button", class: "quiet small", hidden: true, "aria-expanded": "false", onclick: () => expand(!isExpanded),
  });
  const rest = element("p", { class: "soft small", hidden: true });
  let facet = { values: [], further_values: 0 };
  let chosen = [];
  let isExpanded = false;

  const toggle = (where) =>
    onChoose(chosen.includes(where) ? chosen.filter((one) => one !== where) : [...chosen, where]);

  function expand(wanted) {
    isExpanded = wanted;
    render();
  }

  function render() {
    const focused = list.contains(document.activeElement) ? document.activeElement.title : null;
    const present = facet.values.filter(({ where, images }) => images || chosen.includes(where));
    const first = isExpanded ? present : present.filter(({ where }, at) => at < FEW || chosen.includes(where));
    const known = new Set(facet.values.map(({ where }) => where));
    const unknown = chosen.filter((where) => !known.has(where)).map((where) => ({ label: where, where, images: null }));
    fill(list, ...[...first, ...unknown].map((value) => chipOf(value, chosen.includes(value.where), toggle)));
    if (focused) [...list.children].find((chip) => chip.title === focused)?.focus();
    const hidden = present.length - Math.min(present.length, FEW);
    more.hidden = hidden < 1;
    more.setAttribute("aria-expanded", String(isExpanded));
    fill(more, isExpanded ? "Fewer" : `${hidden} more`);
    rest.hidden = !isExpanded || !facet.further_values;
    const others = counted(facet.further_values, "other value");
    fill(rest, `${others}, in ${counted(facet.further_images ?? 0, "picture")}`);
  }

  return {
    root: element("div", {}, list, more, rest),
    draw(found, conditions) {
      facet = found;
      chosen = conditions;
      render();
    },
    mark(conditions) {
      chosen = conditions;
      render();
    },
  };
}

/** Create a chip that adds a condition to the filter, or removes it. */
export function chipOf({ label, where, images }, isChosen, toggle) {
  return element(
    "button",
    {
      type: "button", class: "chip small", title: where, "aria-pressed": String(isChosen),
      onclick: () => toggle(where),
    },
    label,
    images === null ? null : element("span", { class: "soft count" }, images.toLocaleString("en")),
  );
}
