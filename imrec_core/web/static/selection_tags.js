/** The dialog that gives a tag to the selected pictures, or takes it away. */

import { features, get, post } from "./api.js";
import { counted, dialog, element, fill, toast } from "./dom.js";
import { selection } from "./selection.js";
import { sendSelection } from "./selection_actions.js";

const BATCH = 1000; // pictures in a request to the server

/** Open the dialog. */
export function openTagging() {
  const box = element("input", {
    type: "text", id: "selection-tag", list: "selection-tags", maxlength: 100, autocomplete: "off",
  });
  const known = element("datalist", { id: "selection-tags" });
  const chips = element("div", { class: "chips", role: "group", "aria-label": "Tags of the lake" });
  const said = element("p", { class: "soft small", role: "status" });
  const button = (label, kind, remove) =>
    element("button", { type: "button", class: kind, onclick: () => change(remove) }, label);
  const buttons = [button("Add tag", "primary", false), button("Remove tag", "", true)];
  const shown = dialog(
    "Tag the selected pictures",
    { class: "tagging" },
    element("h2", {}, `Tag ${counted(selection.size, "picture")}`),
    element("label", { for: "selection-tag" }, "Tag"),
    box, known, chips, said,
    element("div", { class: "actions" }, ...buttons),
  );
  box.addEventListener("keydown", (event) => event.key === "Enter" && change(false));
  offer(known, chips, box);
  box.focus();

  async function change(remove) {
    const tag = box.value.trim();
    if (!tag || buttons[0].disabled) return box.focus();
    for (const one of buttons) one.disabled = true;
    try {
      const done = await changeAll(tag, remove, said, () => shown.open);
      if (!shown.open) return;
      shown.close();
      toast(`Tag “${tag}” ${remove ? "removed from" : "added to"} ${counted(done, "picture")}`);
    } catch (error) {
      fill(said, element("span", { class: "error" }, error.message));
    } finally {
      for (const one of buttons) one.disabled = false;
      features({ refresh: true }).catch(() => {}); // the filter offers the tags
    }
  }
}

/** Change the tags of all selected pictures, some at a time; stop when the dialog is closed. Returns their number. */
async function changeAll(tag, remove, said, isOpen) {
  await sendSelection(); // unselects pictures that the lake has no more, for which the server would refuse the others
  const ids = selection.ids();
  for (let done = 0; done < ids.length; done += BATCH) {
    const words = `${done.toLocaleString("en")} of ${counted(ids.length, "picture")}`;
    if (!isOpen()) return toast(`Stopped after ${words}`);
    fill(said, `${words} …`);
    await post("/api/tags", { tag, images: ids.slice(done, done + BATCH), remove });
  }
  return ids.length;
}

async function offer(known, chips, box) {
  const { tags } = await get("/api/tags").catch(() => ({ tags: [] }));
  fill(known, ...tags.map(({ tag }) => element("option", { value: tag })));
  const most = [...tags].sort((a, b) => b.images - a.images).slice(0, 12);
  const take = (tag) => ((box.value = tag), box.focus());
  fill(chips, ...most.map(({ tag, images }) => element(
    "button",
    { type: "button", class: "chip", title: `${counted(images, "picture")} with this tag`, onclick: () => take(tag) },
    tag,
  )));
}
