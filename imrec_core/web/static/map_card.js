/** The card beside the pointer, with the image of a point. */

import { thumbnail } from "./api.js";
import { element, fileName, fill } from "./dom.js";
import { imageName } from "./uploads.js";

const STAY = 80; // milliseconds over a point before the card loads: the server makes thumbnails on demand

/** Create the card on a stage. Returns {show, hide}; `show(left, top, id)` without an id hides it. */
export function makeCard(stage) {
  const card = element("div", { class: "hover-card", "aria-hidden": "true", hidden: true });
  let shown = "";
  let timer = 0;
  stage.append(card);

  function show(left, top, id) {
    card.classList.toggle("leftward", left > stage.clientWidth / 2);
    card.classList.toggle("upward", top > stage.clientHeight / 2);
    card.style.transform = `translate(${left}px, ${top}px)`;
    if (id === shown) return;
    hide();
    shown = id;
    if (id) timer = setTimeout(() => describe(id), STAY);
  }

  function hide() {
    clearTimeout(timer);
    card.hidden = true;
    shown = "";
  }

  async function describe(id) {
    const name = element("span", {}, " ");
    fill(card, element("div", {}, element("img", { src: thumbnail(id), alt: "" }), name));
    card.hidden = false;
    fill(name, fileName(await imageName(id).catch(() => id)));
  }

  return { show, hide };
}
