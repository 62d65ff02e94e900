/** The tray: positive and negative examples with weights, and the ways to add images. */

import { thumbnail } from "./api.js";
import { isShares, openCropper, partPicture } from "./crop.js";
import { announce, debounced, element, fileName, fill, toast } from "./dom.js";
import { imageName, knownName, uploadName, uploadPicture } from "./uploads.js";

const SIDES = { like: "Like", unlike: "Unlike" };
const OTHER = { like: "unlike", unlike: "like" };
const DRAGGED = "application/x-imrec-entry";

/** Create the tray; calls `onChange({like, unlike})` for changes, and `onFiles(files, side)` for new files. */
export function makeTray({ onChange, onFiles }) {
  const chooser = fileInput("chooser", onFiles, { multiple: true });
  const camera = fileInput("camera", onFiles, { capture: "environment" });
  const drop = element(
    "button",
    { type: "button", class: "drop", id: "choose", onclick: () => chooser.click() },
    element("strong", {}, "Choose pictures"),
    element("span", { class: "soft small" }, "or drop or paste them anywhere"),
  );
  const take = element("button", { type: "button", class: "take", onclick: () => camera.click() }, "Take a picture");
  const lists = Object.fromEntries(Object.keys(SIDES).map((side) => [side, element("ul", { class: "entries" })]));
  const clear = element(
    "button",
    { type: "button", class: "quiet small", onclick: () => put({ like: [], unlike: [] }) },
    "Clear",
  );
  const groups = Object.keys(SIDES).map((side) => group(side, lists[side]));
  const root = element(
    "section",
    { class: "tray", "aria-label": "Tray" },
    chooser, camera, drop, take, ...groups, clear,
  );
  let held = { like: [], unlike: [] };

  function put(changed) {
    held = { ...held, ...changed };
    onChange(held);
  }

  function group(side, list) {
    const box = element(
      "div",
      { class: `side ${side}`, id: `tray-${side}` },
      element("h3", { id: `${side}-title` }, SIDES[side]),
      list,
      element("p", { class: "soft small hint" }, side === "like" ? "" : "Drag negative examples here"),
    );
    list.setAttribute("aria-labelledby", `${side}-title`);
    box.addEventListener("dragover", (event) => {
      if (!event.dataTransfer.types.includes(DRAGGED)) return;
      event.preventDefault();
      box.classList.add("over");
    });
    box.addEventListener("dragleave", () => box.classList.remove("over"));
    box.addEventListener("drop", (event) => {
      box.classList.remove("over");
      const text = event.dataTransfer.getData(DRAGGED);
      if (!text) return;
      event.preventDefault();
      dropped(JSON.parse(text), side);
    });
    return box;
  }

  function dropped({ from, index, image_id }, side) {
    if (from === side) return;
    if (from) move(from, index);
    else if (image_id) put(added(held, side, { image_id }));
  }

  function move(side, index) {
    const entry = held[side][index];
    put({ [side]: without(side, index), [OTHER[side]]: [...held[OTHER[side]], entry] });
    announce(`${labelOf(entry)} moved to ${SIDES[OTHER[side]]}`);
  }

  function without(side, index) {
    return held[side].filter((_, at) => at !== index);
  }

  const weighed = debounced((side, index, weight) => {
    put({ [side]: held[side].map((entry, at) => (at === index ? { ...entry, weight } : entry)) });
  }, 200);

  function row(side, entry, index) {
    const label = labelOf(entry);
    const name = element("span", { class: "name", title: label }, shortLabel(entry));
    if (entry.image_id && !knownName(entry.image_id)) {
      imageName(entry.image_id).then(
        () => fill(name, shortLabel(entry)),
        () => fill(name, `${entry.image_id} (not in the lake)`),
      );
    }
    const weight = element("input", {
      type: "number", min: 0.1, max: 10, step: 0.1, value: entry.weight ?? 1,
      "aria-label": `Weight of ${label}`, title: "Weight",
      oninput: (event) => event.target.valueAsNumber > 0 && weighed(side, index, event.target.valueAsNumber),
    });
    const toOther = element(
      "button",
      {
        type: "button",
        class: "quiet",
        title: `Move to ${SIDES[OTHER[side]]}`,
        "aria-label": `Move ${label} to ${SIDES[OTHER[side]]}`,
        onclick: () => move(side, index),
      },
      "⇅",
    );
    const remove = element(
      "button",
      {
        type: "button",
        class: "quiet",
        title: "Remove",
        "aria-label": `Remove ${label}`,
        onclick: () => put({ [side]: without(side, index) }),
      },
      "✕",
    );
    const dragged = (event) => event.dataTransfer.setData(DRAGGED, JSON.stringify({ from: side, index }));
    return element(
      "li",
      { class: "entry", draggable: "true", ondragstart: dragged },
      pictureButton(entry, (crop) => put({
        [side]: held[side].map((one, at) => (at === index ? { ...one, crop: crop ?? undefined } : one)),
      })),
      name,
      weight,
      toOther,
      remove,
    );
  }

  return {
    root,
    chooser,
    /** Show the entries of a search. */
    show(search) {
      held = { like: search.like, unlike: search.unlike };
      const count = held.like.length + held.unlike.length;
      for (const side of Object.keys(SIDES)) fill(
        lists[side],
        ...held[side].map((entry, index) => row(side, entry, index)),
      );
      root.classList.toggle("filled", count > 0);
      groups.forEach((box) => (box.hidden = count === 0));
      groups[1].classList.toggle("none", held.unlike.length === 0);
      clear.hidden = count < 2;
    },
  };
}

function fileInput(id, onFiles, how) {
  const input = element("input", { type: "file", accept: "image/*", hidden: true, id, ...how });
  input.addEventListener("change", () => {
    onFiles([...input.files], "like");
    input.value = "";
  });
  return input;
}

/** Return a search with an entry added to one side, and removed from the other. */
export function added(search, side, entry) {
  const isOther = (one) =>
    !entry.image_id || one.image_id !== entry.image_id || String(one.crop ?? "") !== String(entry.crop ?? "");
  const rest = search[OTHER[side]].filter(isOther);
  if (!search[side].every(isOther)) toast(`Already in ${SIDES[side]}`);
  return { ...search, [side]: [...search[side].filter(isOther), entry], [OTHER[side]]: rest };
}

/** Media type of a dragged image of the lake. */
export function dragImage(event, imageId) {
  event.dataTransfer.setData(DRAGGED, JSON.stringify({ image_id: imageId }));
}

/** Return the label of an entry. */
export function labelOf(entry) {
  if (entry.text) return `“${entry.text}”`;
  return (entry.crop ? "part of " : "") + wholeName(entry);
}

function wholeName(entry) {
  if (entry.file) return entry.file.name || "pasted picture";
  return entry.upload ? uploadName(entry.upload) : (knownName(entry.image_id) ?? entry.image_id);
}

/** Return the label without folders. */
function shortLabel(entry) {
  if (entry.text) return labelOf(entry);
  return (entry.crop ? "part of " : "") + fileName(wholeName(entry));
}

/** Return the URL of the thumbnail of an entry; null for text. */
export function pictureOf(entry, size = 160) {
  if (entry.text) return null;
  if (entry.file) return entry.address;
  return entry.upload ? uploadPicture(entry.upload, size) : thumbnail(entry.image_id, size);
}

function picture(entry) {
  const address = pictureOf(entry);
  if (!address) return element("span", { class: "words", "aria-hidden": "true" }, "Aa");
  if (isShares(entry.crop)) return partPicture(pictureOf(entry, 640), entry.crop);
  return element("img", { src: address, alt: "", width: 44, height: 44 });
}

/** Create the picture of an entry: for an image, a button to choose a part of it; calls `onCrop(box)`. */
function pictureButton(entry, onCrop) {
  if (entry.text) return picture(entry);
  const large = entry.image_id ? `/image/${entry.image_id}` : pictureOf(entry, 640);
  const title = `Search by a part of ${wholeName(entry)}`;
  const open = () => openCropper(large, fileName(wholeName(entry)), entry.crop, onCrop);
  const attributes = { type: "button", class: "quiet picture", title, "aria-label": title, onclick: open };
  return element("button", attributes, picture(entry));
}

/** Accept images that are dropped or pasted anywhere; returns a function that stops this. */
export function takeFiles(onFiles) {
  let depth = 0;
  const brings = ({ dataTransfer }) => dataTransfer?.types.includes("Files") && !dataTransfer.types.includes(DRAGGED);
  const cover = element(
    "div",
    { class: "cover", hidden: true },
    element("strong", {}, "Drop to search by these pictures"),
  );
  document.body.append(cover);
  const hide = () => ((depth = 0), (cover.hidden = true));
  const listeners = {
    dragenter: (event) => brings(event) && ((depth += 1), (cover.hidden = false)),
    dragleave: (event) => brings(event) && (depth -= 1) <= 0 && hide(),
    dragover: (event) => brings(event) && event.preventDefault(),
    drop: (event) => {
      hide();
      if (!brings(event)) return;
      event.preventDefault();
      onFiles([...event.dataTransfer.files], event.target.closest?.("#tray-unlike") ? "unlike" : "like");
    },
    paste: (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (!files.length) return;
      event.preventDefault();
      onFiles(files, "like");
    },
  };
  for (const [name, listen] of Object.entries(listeners)) document.addEventListener(name, listen);
  return () => {
    for (const [name, listen] of Object.entries(listeners)) document.removeEventListener(name, listen);
    cover.remove();
  };
}
