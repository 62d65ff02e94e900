/** The tags of one image: shown, removed and added. */

import { features, get, post } from "./api.js";
import { announce, element, fill } from "./dom.js";

/** Create the section; each tag links to a search for the images that have it. */
export function tagsOf(imageId, tags) {
  const list = element("ul", { class: "chips", "aria-label": "Tags" });
  const known = element("datalist", { id: "known-tags" });
  const box = element("input", {
    type: "text", list: "known-tags", maxlength: 100, placeholder: "new tag", "aria-label": "New tag",
    autocomplete: "off",
    onfocus: () => offer(known),
    onkeydown: (event) => (event.stopPropagation(), event.key === "Enter" && add()),
  });
  const fault = element("p", { class: "error small", role: "alert", hidden: true });
  const add = () => box.value.trim() && change(box.value.trim(), false);
  let held = tags;

  async function change(tag, remove) {
    fault.hidden = true;
    try {
      await post("/api/tags", { tag, images: [imageId], remove });
    } catch (error) {
      fault.hidden = false;
      return fill(fault, error.message);
    }
    held = [...held.filter((other) => other !== tag), ...(remove ? [] : [tag])].sort();
    box.value = "";
    show();
    box.focus();
    announce(remove ? `Tag ${tag} removed` : `Tag ${tag} added`);
    features({ refresh: true }).catch(() => {}); // the filter offers the tags
  }

  function show() {
    fill(list, ...held.map((tag) => element(
      "li",
      { class: "chip small" },
      element("a", { href: `/?where=${encodeURIComponent(`'${tag.replaceAll("'", "''")}' IN tags`)}` }, tag),
      element(
        "button",
        { type: "button", class: "quiet", "aria-label": `Remove tag ${tag}`, onclick: () => change(tag, true) },
        "✕",
      ),
    )));
  }

  show();
  return element(
    "div",
    { class: "tags" },
    element("h3", {}, "Tags"),
    list,
    element("div", { class: "words-box" }, box, element("button", { type: "button", onclick: add }, "Add tag")),
    known,
    fault,
  );
}

async function offer(list) {
  const { tags } = await get("/api/tags").catch(() => ({ tags: [] }));
  fill(list, ...tags.map(({ tag }) => element("option", { value: tag })));
}
