/** The tab "Tags": all tags with their numbers of pictures; open one as a filter, or remove it from all pictures. */

import { get, isOvertaken, post } from "./api.js";
import { counted, element, fill, toast } from "./dom.js";
import { commandToCopy } from "./copy.js";
import { refreshTags, undone } from "./curate_grid.js";
import { problem } from "./messages.js";

export async function mount(panel, { signal }) {
  const again = () => mount(panel, { signal });
  try {
    const { tags } = await get("/api/tags", {}, { signal });
    if (!signal.aborted) show(panel, tags, again);
  } catch (error) {
    if (!signal.aborted && !isOvertaken(error)) fill(panel, problem(error.message, again));
  }
}

function show(panel, tags, again) {
  if (!tags.length) {
    const words = "No picture has a tag yet. Open a picture to give it one, or tag many: ";
    return fill(panel, element("p", { class: "soft" }, words, commandToCopy("imrec tag NAME --where SQL")));
  }
  const rows = tags.map(({ tag, images }) => rowOf(tag, images, again));
  const heads = ["Tag", "Pictures", ""].map((head, place) => element(
    place === 2 ? "td" : "th",
    { scope: place === 2 ? null : "col", class: place === 1 ? "number" : "" },
    head,
  ));
  fill(
    panel,
    element("p", { class: "soft" }, counted(tags.length, "tag")),
    element(
      "table",
      { class: "tag-list card" },
      element("thead", {}, element("tr", {}, ...heads)),
      element("tbody", {}, ...rows),
    ),
  );
}

function rowOf(tag, images, again) {
  const where = `'${tag.replaceAll("'", "''")}' IN tags`;
  async function remove() {
    try {
      const { undo, changed } = await post("/api/tags/remove", { tag });
      refreshTags();
      toast(`“${tag}” removed from ${counted(changed, "picture")}`, {
        label: "Undo",
        act: () => undone([undo], again),
      });
      again();
    } catch (error) {
      toast(error.message);
    }
  }
  return element(
    "tr",
    {},
    element(
      "th",
      { scope: "row" },
      element("a", { href: `/?where=${encodeURIComponent(where)}`, title: `Show the pictures with ${tag}` }, tag),
    ),
    element("td", { class: "number" }, images.toLocaleString("en")),
    element(
      "td",
      { class: "number" },
      element(
        "button",
        { type: "button", class: "small", title: "Take the tag away from all pictures", onclick: remove },
        "Remove from all",
        element("span", { class: "unseen" }, `: ${tag}`),
      ),
    ),
  );
}
