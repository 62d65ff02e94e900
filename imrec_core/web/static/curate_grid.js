/** A grid of pictures of the view "Curate": open, more like this, hide, and a tag for all of them. */

import { features, get, isOvertaken, post, thumbnail } from "./api.js";
import { announce, counted, element, fileName, toast } from "./dom.js";

const BATCH = 1000; // pictures of a request that tags, and of one that lists them
const HIDDEN = "hidden"; // tag of hidden pictures

/**
 * Create a grid of the findings of a route.
 *
 * `captionOf(finding)` describes a finding in a few words; `onTotal(total)` gets their number after each request.
 * `more(count)` loads the next ones.
 */
export function pictureGrid({ path, parameters = {}, signal, captionOf, onTotal = () => {} }) {
  const list = element("ul", { class: "pictures", onkeydown: keyed, onfocusin: rove });
  const button = element("button", { type: "button", hidden: true }, "Show more");
  const fault = element("p", { class: "error", role: "alert", hidden: true });
  const root = element("div", { class: "picture-grid" }, list, fault, button);
  const grid = { root, list, more };
  let total = 0;

  async function more(limit) {
    button.disabled = true;
    fault.hidden = true;
    button.onclick = () => more(48);
    try {
      const found = await get(path, { ...parameters, offset: list.children.length, limit }, { signal });
      const first = list.children.length;
      list.append(...found.findings.map((one) => itemOf(one, captionOf(one), (item) => hide(item, count))));
      if (!list.querySelector("a[tabindex='0']")) list.querySelector("a")?.setAttribute("tabindex", "0");
      if (first) list.children[first]?.querySelector("a")?.focus();
      button.hidden = found.next === null;
      count(found.total - total);
      return found;
    } catch (error) {
      if (isOvertaken(error)) return null;
      fault.hidden = false;
      fault.textContent = error.message;
      return null;
    } finally {
      button.disabled = false;
    }
  }

  function count(change) {
    total += change;
    button.textContent = `Show more of ${total.toLocaleString("en")}`;
    onTotal(total);
  }

  return grid;
}

function itemOf(finding, caption, onHide) {
  const { image_id: id, source, path } = finding;
  if (!id) return element("li", { class: "failed small" }, `${source}/${path}`);
  const picture = element("img", { src: thumbnail(id, 160), alt: "", loading: "lazy", width: 120, height: 90 });
  picture.addEventListener("error", () => picture.classList.add("missing"));
  const item = element(
    "li",
    { dataset: { id } },
    element(
      "a",
      { class: "picture", href: `/?like=image:${id}&open=${id}`, title: `${source}/${path}: ${caption}`, tabindex: -1 },
      picture,
      element("span", { class: "small" }, fileName(path)),
      element("span", { class: "small soft" }, caption),
    ),
    element(
      "div",
      { class: "picture-acts" },
      element(
        "a",
        { class: "button small", href: `/?like=image:${id}`, title: "More like this (m)", tabindex: -1 },
        "More",
        element("span", { class: "unseen" }, ` like ${fileName(path)}`),
      ),
      element(
        "button",
        {
          type: "button", class: "small", title: "Hide from these lists (h)", tabindex: -1,
          onclick: () => onHide(item),
        },
        "Hide",
        element("span", { class: "unseen" }, ` ${fileName(path)}`),
      ),
    ),
  );
  return item;
}

/** Hide a picture, with a button that shows it again at its place. */
async function hide(item, count) {
  const [list, after] = [item.parentElement, item.nextElementSibling];
  try {
    const { undo } = await post("/api/tags", { tag: HIDDEN, images: [item.dataset.id] });
    const next = after ?? item.previousElementSibling;
    item.remove();
    count(-1);
    next?.querySelector("a")?.focus();
    toast("Hidden", undo && {
      label: "Undo",
      act: () => undone([undo], () => (list.insertBefore(item, after?.isConnected ? after : null), count(1))),
    });
    refreshTags();
  } catch (error) {
    toast(error.message);
  }
}

/** Undo changes of tags, then call `then`. */
export async function undone(handles, then = () => {}) {
  try {
    for (const undo of handles) await post("/api/tags/undo", { undo });
    then();
    announce("Undone");
    refreshTags();
  } catch (error) {
    toast(error.message);
  }
}

/** Load the tags again that the filter of the search offers. */
export function refreshTags() {
  features({ refresh: true }).catch(() => {});
}

/** Create the form that gives a tag to all pictures of a grid, shown or not. */
export function tagAllForm({ path, parameters = {}, signal }) {
  const box = element("input", {
    type: "text", maxlength: 100, placeholder: "tag", "aria-label": "Tag for all pictures", autocomplete: "off",
  });
  const button = element("button", {}, "Tag all");
  async function tagAll(event) {
    event.preventDefault();
    const tag = box.value.trim();
    if (!tag) return box.focus();
    button.disabled = true;
    try {
      const ids = await allIds(path, parameters, signal);
      const handles = await tagged(tag, ids);
      box.value = "";
      const words = `${counted(ids.length, "picture")} tagged “${tag}”`;
      toast(words, handles.length && { label: "Undo", act: () => undone(handles) });
      refreshTags();
    } catch (error) {
      if (!isOvertaken(error)) toast(error.message);
    } finally {
      button.disabled = false;
    }
  }
  return element("form", { class: "tag-all", onsubmit: tagAll }, box, button);
}

async function allIds(path, parameters, signal) {
  const ids = [];
  for (let offset = 0; offset !== null; ) {
    const found = await get(path, { ...parameters, offset, limit: BATCH }, { signal });
    ids.push(...found.findings.map((one) => one.image_id).filter(Boolean));
    offset = found.next;
  }
  return ids;
}

async function tagged(tag, ids) {
  const handles = [];
  for (let first = 0; first < ids.length; first += BATCH) {
    const { undo } = await post("/api/tags", { tag, images: ids.slice(first, first + BATCH) });
    if (undo) handles.push(undo);
  }
  return handles;
}

/** Make one picture reachable by Tab; arrow keys lead to the others. */
function rove(event) {
  const picture = event.target.closest("a.picture");
  if (!picture) return;
  for (const other of event.currentTarget.querySelectorAll("a[tabindex='0']")) other.tabIndex = -1;
  picture.tabIndex = 0;
}

function keyed(event) {
  const item = event.target.closest("li");
  if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
  const [more, hide] = item.querySelectorAll(".picture-acts > *");
  const to = neighbour(event.currentTarget, item, event.key);
  if (to) to.querySelector("a")?.focus();
  else if (event.key === "m") more?.click();
  else if (event.key === "h") hide?.click();
  else return;
  event.preventDefault();
}

function neighbour(list, item, key) {
  const items = [...list.children];
  const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[key];
  if (key === "Home") return items[0];
  if (key === "End") return items.at(-1);
  return step ? items[items.indexOf(item) + step] : undefined;
}
