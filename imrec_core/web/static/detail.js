/** Dialog with one large image: zoom, facts, explanation of the hit, exact copies, and actions. */

import { get, isOvertaken, post, thumbnail } from "./api.js";
import { makeCropper } from "./crop.js";
import { announce, dialog, element, fileName, fill } from "./dom.js";
import { factsOf } from "./facts.js";
import { ACTIONS } from "./grid.js";
import { legendButton } from "./legend.js";
import { badgeOf } from "./marks.js";
import { makeTools } from "./picture_tools.js";
import { partsOf, reasonsOf } from "./reasons.js";
import { makeSlideshow, SECONDS } from "./slideshow.js";
import { requestOf } from "./state.js";
import { tagsOf } from "./tags.js";
import { makeZoom } from "./zoom.js";

const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

/** Keys of the open image, for the help. */
export const keys = [
  ["← →", "Open picture: previous, next; arrows move it while it is zoomed"],
  ["z", "Open picture: size of the window, or 100 %"],
  ["i o", "Open picture: zoom in, zoom out"],
  ["f", "Open picture: full screen"],
  ["p", `Open picture: slideshow, ${SECONDS} seconds a picture`],
  ["c", "Open picture: search by a part of it"],
];

/**
 * Open the dialog; `show` changes the image.
 *
 * Calls `onAct(action, hit)` with "like", "unlike" or "more", which has `crop` for a part of the image; `onStep(by)`
 * for the next or the previous image; `onFilter(condition)` with SQL; and `onClose()`.
 */
export function openDetail({ onAct, onStep, onFilter, onClose }) {
  const picture = element("img", { class: "large", alt: "", draggable: "false" });
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
  const badge = element("p", { class: "badge mark", role: "status" });
  const space = element("div", { class: "space" }, picture);
  const stage = element("div", { class: "stage" }, space, before, after, badge);
  const box = dialog("Picture", { class: "detail", tabindex: -1 }, stage, side);
  let controller = new AbortController();
  let hit = null;
  let buttons = {}; // of like and unlike
  const cropper = makeCropper(stage, picture, {
    onBox: (crop) => onAct("more", { ...hit, crop }),
    onEnd: () => tools.part.focus(),
  });
  const zoom = makeZoom(space, picture, {
    onSwipe: onStep,
    onChange: () => (tools.showZoom(zoom.state()), cropper.layout()),
  });
  const slideshow = makeSlideshow(picture, {
    onNext: () => onStep(1),
    isLast: () => after.disabled,
    onState: (isPlaying) => tools.showPlaying(isPlaying),
  });
  const tools = makeTools({ stage, zoom, slideshow, onPart: () => cropper.start() });
  stage.append(tools.root);
  zoom.show(null);
  const close = () => (slideshow.stop(), zoom.stop(), controller.abort(), onClose());
  box.addEventListener("close", close);
  box.addEventListener("keydown", keyed);
  for (const name of ["pointerdown", "wheel"]) box.addEventListener(name, interrupted, { passive: true });
  picture.addEventListener("error", () => stage.classList.add("broken"));
  picture.addEventListener("load", () => sizeOf(hit) || zoom.show(naturalSize()));

  /** Stop the slideshow at any other action than its own button. */
  function interrupted(event) {
    if (!tools.play.contains(event.target)) slideshow.stop();
  }

  function keyed(event) {
    if (cropper.isActive()) return cropper.keyed(event);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isPress = tools.play.contains(event.target) && ["Enter", " "].includes(event.key);
    const wasPlaying = !isPress && slideshow.stop();
    if (zoom.pan(event.key)) return event.preventDefault();
    if (STEPS[event.key]) onStep(STEPS[event.key]);
    else if (ACTIONS[event.key] && ACTIONS[event.key] !== "open") onAct(ACTIONS[event.key], hit);
    else if (event.key === "p") wasPlaying || slideshow.start();
    else if (!tools.keyed(event.key)) return;
    event.preventDefault();
  }

  function naturalSize() {
    return picture.naturalWidth ? { width: picture.naturalWidth, height: picture.naturalHeight } : null;
  }

  async function show(shown, search, features, { first, last, mark: marked = null }) {
    controller.abort();
    controller = new AbortController();
    const { signal } = controller;
    cropper.stop();
    hit = shown;
    [before.disabled, after.disabled] = [first, last];
    stage.classList.remove("broken");
    picture.style.setProperty("--preview", `url("${thumbnail(hit.image_id)}")`);
    picture.alt = hit.path ? fileName(hit.path) : "";
    picture.src = `/image/${hit.image_id}`;
    zoom.show(sizeOf(hit));
    if (hit.path) box.setAttribute("aria-label", fileName(hit.path));
    const parts = {
      heading: element("header", {}),
      facts: element("section", {}),
      reasons: element("section", {}),
      copies: element("section", {}),
      tags: element("section", {}),
    };
    fill(side, parts.heading, actions(), parts.reasons, parts.tags, parts.facts, parts.copies);
    mark(marked);
    heading(parts.heading, hit);
    side.scrollTop = 0;
    await Promise.all([describe(parts, signal), explain(parts.reasons, search, features, signal)]);
  }

  /** Show that the image is a "like" or an "unlike"; null for neither. */
  function mark(marked) {
    stage.classList.toggle("marked", Boolean(marked));
    badge.className = `badge mark ${marked ?? ""}`;
    fill(badge, badgeOf(marked));
    for (const [name, button] of Object.entries(buttons)) button.setAttribute("aria-pressed", String(name === marked));
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
    buttons = { like: action("like", "+ Like", "+"), unlike: action("unlike", "− Less like this", "-") };
    return element(
      "div",
      { class: "actions" },
      action("more", "More like this", "m", "primary"),
      ...Object.values(buttons),
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
      if (!sizeOf(hit)) zoom.show(sizeOf(known.facts) ?? naturalSize());
      hit = { ...hit, ...sizeOf(known.facts) };
      heading(head, { ...hit, ...known });
      picture.alt = fileName(known.path);
      box.setAttribute("aria-label", fileName(known.path));
      fill(facts, ...factsOf(known, onFilter));
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
    mark,
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

function sizeOf({ width, height }) {
  return width && height ? { width, height } : null;
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
