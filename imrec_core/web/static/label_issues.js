/** The tab "Labels": pictures whose neighbours mostly are in another folder. */

import { element, fileName, fill } from "./dom.js";
import { commandToCopy } from "./copy.js";
import { showNeighbours } from "./neighbour_search.js";

export function mount(panel, { signal }) {
  const result = element("div", {});
  fill(
    panel,
    element(
      "p",
      { class: "soft" },
      "Folders are taken as labels. These pictures look like those of another folder. For labels of your own: ",
      commandToCopy("imrec label-issues --column NAME"),
    ),
    result,
  );
  return showNeighbours(result, {
    path: "/api/label-issues", parameters: {}, signal, captionOf, noun: "picture",
    none: "Every picture is in the folder of its neighbours.",
    onFound: ({ has_labels: hasLabels }) => {
      if (!hasLabels) fill(result, element("p", {}, "All pictures are in one folder, so folders are no labels here."));
    },
  });
}

function captionOf({ label, suggested, confidence }) {
  return `in ${fileName(label)}; ${Math.round(100 * confidence)} % of neighbours in ${fileName(suggested)}`;
}
