/** The list of clusters beside the map, by size or by name, with a box that filters by name. */

import { thumbnail } from "./api.js";
import { announce, counted, element, fill } from "./dom.js";
import { reasonOf } from "./map_names.js";

const LISTED = 30; // clusters at first
const FILTERED = 7; // clusters, from which on the list can be ordered and filtered

/**
 * Create the list; calls `onCluster(cluster)` for the cluster that the user chooses.
 *
 * Returns {root, press, showNames}: `press(cluster)` marks one as chosen, null none; `showNames` is called when the
 * clusters have their names.
 */
export function makeClusterList(map, onCluster) {
  const { clusters } = map;
  const heading = element("h2", {}, counted(clusters.length, "cluster"));
  const list = element("ul", { class: "clusters" });
  const none = element("p", { class: "soft", hidden: true }, "No cluster has such a name.");
  const more = element("button", { type: "button", class: "quiet", onclick: showAll });
  const box = element("input", {
    type: "search", id: "cluster-filter", placeholder: "Find clusters by name", "aria-label": "Find clusters by name",
    autocomplete: "off", spellcheck: "false", oninput: () => (show(), say()),
  });
  const order = element(
    "select",
    { id: "cluster-order", onchange: show },
    element("option", { value: "size" }, "Largest first"),
    element("option", { value: "name" }, "By name"),
  );
  const tools = element(
    "div",
    { class: "cluster-tools", hidden: true },
    box,
    element("label", { class: "chooser" }, element("span", { class: "soft" }, "Order"), order),
  );
  const empty = element("p", { class: "soft" }, "The map has no dense groups of pictures.");
  const root = element(
    "section",
    { "aria-label": "Clusters" },
    heading,
    ...(clusters.length ? [tools, list, none, more] : [empty]),
  );
  let most = LISTED;
  let pressed = null;
  if (clusters.length) show();

  function showAll() {
    const count = list.children.length;
    most = Infinity;
    show();
    list.children[count]?.querySelector("button").focus(); // the button that had the focus is gone
  }

  /** Return the clusters that pass the filter, in order; those without a name come last by name. */
  function listed() {
    const wanted = box.value.trim().toLocaleLowerCase();
    const passes = ({ name = "", terms = [] }) => (
      [name, ...terms.map((term) => term.text)].some((text) => text.toLocaleLowerCase().includes(wanted))
    );
    const bySize = (a, b) => b.size - a.size;
    const byName = (a, b) => (
      Number(!a.name) - Number(!b.name) || (a.name ?? "").localeCompare(b.name ?? "", "en", { numeric: true })
    );
    const sorted = clusters.filter((one) => !wanted || passes(one)).sort(bySize);
    return order.value === "name" ? sorted.sort(byName) : sorted;
  }

  function show() {
    const found = listed();
    fill(list, ...found.slice(0, most).map(item));
    none.hidden = found.length > 0;
    more.hidden = found.length <= most;
    more.textContent = `Show all ${found.length}`;
  }

  function say() {
    announce(counted(listed().length, "cluster"));
  }

  function item(cluster) {
    const picture = element(
      "img",
      { src: thumbnail(cluster.image_id, 160), alt: "", width: 40, height: 40, loading: "lazy" },
    );
    const size = counted(cluster.size, "picture");
    const share = cluster.name && `${Math.round(100 * Math.min(...cluster.terms.map((term) => term.share)))} %`;
    const words = cluster.name ? [
      element("span", { class: "cluster-name" }, cluster.name),
      element("span", { class: "soft small" }, `${share} of ${size}`),
    ] : [size];
    const choose = element(
      "button",
      {
        type: "button",
        title: reasonOf(cluster) || null,
        "aria-pressed": String(cluster === pressed),
        dataset: { cluster: cluster.cluster },
        onclick: () => onCluster(cluster),
      },
      picture,
      element("span", { class: "cluster-words" }, ...words),
    );
    return element("li", {}, choose);
  }

  return {
    root,
    press(cluster) {
      pressed = cluster;
      for (const button of list.querySelectorAll("button")) button.setAttribute(
        "aria-pressed",
        String(pressed?.cluster === Number(button.dataset.cluster)),
      );
    },
    showNames() {
      if (!clusters.length) return;
      tools.hidden = clusters.length < FILTERED || !clusters.some((one) => one.name);
      show();
    },
  };
}
