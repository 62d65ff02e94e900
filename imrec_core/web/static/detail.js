/** Dialog with one large image: properties, explanation of the hit, exact copies, and actions. */

import { get, isOvertaken, post, thumbnail } from "./api.js";
import { announce, dialog, element, fileName, fill } from "./dom.js";
import { ACTIONS } from "./grid.js";
import { legendButton } from "./legend.js";
import { partsOf, reasonsOf } from "./reasons.js";
import { requestOf } from "./state.js";
import { tagsOf } from "./tags.js";
import { megabytes } from "./uploads.js";

const FIRST = ["width", "height", "format", "byte_size", "taken"]; // the most useful properties
const STEPS = { ArrowLeft: -1, ArrowRight: 1 };
const HIDDEN = ["source", "path", "tags"]; // shown elsewhere

/**
 * Open the dialog; `show` changes the image. Calls `onAct(action, hit)` with "like", "unlike" or "more", `onStep(by)`
 * for the next or the previous image, and `onClose()`.
 */
export function openDetail({ onAct, onStep, onClose }) {
  const picture = element("img", { class: "large", alt: "" });
  const side = element("div", { class: "about", tabindex: 0, role: "region", "aria-label": "About this picture" });
  const step = (by, sign, label) =>
    element(
      "button",
      {
        type: "button",
        class: `step ${by < 0 ? "before" : "after"}`,
        "aria-label": label,
        title: label,
        onclick: () => onStep(by),
      },
      sign,
    );
  const [before, after] = [step(-1, "‹", "Previous picture"), step(1, "›", "Next picture")];
  const stage = element("div", { class: "stage" }, picture, before, after);
  const box = dialog("Picture", { class: "detail" }, stage, side);
  let controller = new AbortController();
  let hit = null;
  box.addEventListener("close", () => (controller.abort(), onClose()));
  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (STEPS[event.key]) onStep(STEPS[event.key]);
    else if (ACTIONS[event.key] && ACTIONS[event.key] !== "open") onAct(ACTIONS[event.key], hit);
    else return;
    event.preventDefault();
  });
  picture.addEventListener("error", () => stage.classList.add("broken"));

  async function show(shown, search, features, { first, last }) {
    controller.abort();
    controller = new AbortController();
    const { signal } = controller;
    hit = shown;
    [before.disabled, after.disabled] = [first, last];
    stage.classList.remove("broken");
    stage.style.setProperty("--preview", `url("${thumbnail(hit.image_id)}")`);
    picture.alt = hit.path ? fileName(hit.path) : "";
    picture.src = `/image/${hit.image_id}`;
    if (hit.path) box.setAttribute("aria-label", fileName(hit.path));
    const parts = {
      heading: element("header", {}),
      facts: element("section", {}),
      reasons: element("section", {}),
      copies: element("section", {}),
      tags: element("section", {}),
    };
    fill(side, parts.heading, actions(), parts.reasons, parts.tags, parts.facts, parts.copies);
    heading(parts.heading, hit);
    side.scrollTop = 0;
    await Promise.all([describe(parts, signal), explain(parts.reasons, search, features, signal)]);
  }

  function actions() {
    const action = (name, label, key, kind = "") =>
      element(
        "button",
        {
          type: "button",
          class: kind,
          "aria-keyshortcuts": key,
          title: `${label} (${key})`,
          onclick: () => onAct(name, hit),
        },
        label,
      );
    return element(
      "div",
      { class: "actions" },
      action("more", "More like this", "m", "primary"),
      action("like", "+ Like", "+"),
      action("unlike", "− Less like this", "-"),
      element(
        "a",
        { class: "button", href: `/image/${hit.image_id}`, target: "_blank", rel: "noopener" },
        "Open original",
      ),
      location.pathname !== "/map" &&
        element("a", { class: "button", href: `/map?at=${hit.image_id}` }, "On the map"),
    );
  }

  async function describe({ heading: head, facts, copies, tags }, signal) {
    try {
      const known = await get(`/api/images/${hit.image_id}`, {}, { signal });
      heading(head, { ...hit, ...known });
      picture.alt = fileName(known.path);
      box.setAttribute("aria-label", fileName(known.path));
      const all = { ...known.facts, image_id: known.image_id };
      fill(facts, element("h3", {}, "Facts"), factsOf(all));
      fill(tags, tagsOf(known.image_id, known.tags));
      if (known.copies.length) fill(copies, element("h3", {}, "Exact copies"), copiesOf(known.copies));
    } catch (error) {
      if (!isOvertaken(error)) fill(facts, element("p", { class: "error" }, error.message));
    }
  }

  async function explain(section, search, features, signal) {
    if (!search.like.length && !search.unlike.length) return;
    if (hit.parts && features.length) fill(section, element("h3", {}, "Why"), partsOf(hit, features));
    const waiting = element("p", { class: "soft small busy" }, "Looking for details that both have …");
    section.append(waiting);
    try {
      const why = await post("/api/explain", { ...requestOf(search), hit: hit.image_id }, { signal });
      const said = why.parts ?? {};
      const names = hit.parts ? [] : Object.keys(said);
      if (names.length) fill(section, element("h3", {}, "Why"), partsOf({ parts: said }, names), waiting);
      waiting.replaceWith(...reasonsOf(why, search.like, hit.image_id));
    } catch (error) {
      if (!isOvertaken(error)) waiting.replaceWith(element("p", { class: "error" }, error.message));
    }
  }

  return {
    show,
    close: () => box.open && box.close(),
    isOpen: () => box.open,
  };
}

function heading(node, { path, source, rank, score, likeness }) {
  if (!path) return;
  const words = likeness ? `, ${likeness}` : "";
  const place = score === null || score === undefined ? "" : `Hit ${rank}, score ${score.toFixed(3)}${words}`;
  fill(
    node,
    element("h2", {}, fileName(path)),
    element("p", { class: "soft small" }, `${source ?? ""}${source ? "/" : ""}${path}`),
    place ? element("p", { class: "badge" }, place) : null,
    likeness ? legendButton() : null,
  );
  announce(`${fileName(path)}. ${place}`);
}

function factsOf(facts) {
  const names = [
    ...FIRST.filter((name) => name in facts),
    ...Object.keys(facts).filter((name) => !FIRST.includes(name)),
  ];
  const rows = names
    .filter((name) => !HIDDEN.includes(name) && facts[name] !== null && facts[name] !== undefined && facts[name] !== "")
    .flatMap((name) => [element("dt", {}, name), element("dd", {}, readable(name, facts[name]))]);
  return element("dl", { class: "facts small" }, ...rows);
}

function readable(name, value) {
  if (name.endsWith("_ns")) return new Date(Number(value) / 1e6).toLocaleString();
  if (name.endsWith("byte_size")) return value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : megabytes(value);
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(5)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function copiesOf(copies) {
  const items = copies.map(({ image_id: id, source, path }) =>
    element(
      "li",
      {},
      element(
        "a",
        { href: `/?like=image:${id}&open=${id}` },
        element("img", { src: thumbnail(id, 160), alt: "", width: 48, height: 48, loading: "lazy" }),
        element("span", {}, `${source}/${path}`),
      ),
    ),
  );
  return element("ul", { class: "copies small" }, ...items);
}
