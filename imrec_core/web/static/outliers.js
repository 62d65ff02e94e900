/** The tab "Outliers": the pictures least like any other, by a feature. */

import { features, isOvertaken } from "./api.js";
import { element, fill } from "./dom.js";
import { problem } from "./messages.js";
import { showNeighbours } from "./neighbour_search.js";
import { setAddress } from "./router.js";

export async function mount(panel, { signal, params }) {
  try {
    const offered = await features();
    if (!signal.aborted) build(panel, offered, signal, params);
  } catch (error) {
    if (!signal.aborted && !isOvertaken(error)) {
      fill(panel, problem(error.message, () => mount(panel, { signal, params })));
    }
  }
}

function build(panel, offered, signal, params) {
  const names = offered.features.map(({ name }) => name);
  const asked = params.get("by");
  const by = names.includes(asked) ? asked : offered.default;
  const select = featureSelect(offered, by);
  const result = element("div", {});
  let controller = new AbortController();
  signal.addEventListener("abort", () => controller.abort());
  function search() {
    controller.abort();
    controller = new AbortController();
    const parameters = { by: select.value };
    showNeighbours(result, {
      path: "/api/outliers", parameters, signal: controller.signal, captionOf, noun: "picture",
      none: "There are no pictures to compare.",
    });
  }
  select.addEventListener("change", () => {
    setAddress(`/issues/outliers?by=${encodeURIComponent(select.value)}`, { replace: true });
    search();
  });
  fill(
    panel,
    element(
      "p",
      { class: "soft" },
      "The pictures farthest from their 10 nearest neighbours, at most 200. A ratio of 1 is usual, 2 twice as far.",
    ),
    element("label", { class: "by" }, element("span", { class: "soft" }, "By feature"), select),
    result,
  );
  search();
}

function featureSelect(offered, chosen) {
  const options = offered.features.map(({ name, about }) => element(
    "option",
    { value: name, title: about, selected: name === chosen },
    name,
  ));
  return element("select", { id: "outlier-feature" }, ...options);
}

function captionOf({ ratio, distance }) {
  return ratio === null ? `distance ${distance.toPrecision(3)}` : `ratio ${ratio.toFixed(2)}`;
}
