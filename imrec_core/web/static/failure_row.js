/** A file that could not be read: its preview, reason, and the actions on it. */

import { copyButton } from "./copy.js";
import { element } from "./dom.js";

const UNITS = ["bytes", "kB", "MB", "GB"];
const WITH_PREVIEW = ["damaged", "other"]; // kinds of which a part may be decoded

/** Create the row; `onMark(row)` is called with `isMarked` and `show(isMarked)` to change it. */
export function failureRow(file, onMark) {
  const { image_id: id, source, path, error, byte_size: size } = file;
  const whole = `${source}/${path}`;
  const name = element("strong", {}, whole);
  const state = element("span", { class: "badge", hidden: true }, "tried again by the next build");
  const again = element("button", { type: "button", class: "small", onclick: () => onMark(row) });
  const row = {
    isMarked: file.is_marked,
    show(isMarked) {
      row.isMarked = isMarked;
      state.hidden = !isMarked;
      again.replaceChildren(
        isMarked ? "Do not try again" : "Try again",
        element("span", { class: "unseen" }, `: ${whole}`),
      );
    },
  };
  row.show(file.is_marked);
  return element(
    "li",
    { class: "card" },
    previewOf(file),
    element(
      "div",
      { class: "failure-facts" },
      name,
      element("p", { class: "small soft" }, error, size === null ? "" : ` · ${bytes(size)}`),
      element("div", { class: "failure-acts" }, id ? again : null, copyButton("Copy path", whole, () => name), state),
    ),
  );
}

/** Create the preview; a file of which nothing can be shown gets a box with a word. */
function previewOf({ image_id: id, kind, path }) {
  const none = () => element("span", { class: "no-preview small soft" }, id ? "no preview" : "folder");
  if (!id || !WITH_PREVIEW.includes(kind)) return none();
  const picture = element("img", {
    src: `/failed/${id}`, alt: `What is left of ${path}`, loading: "lazy", width: 120, height: 90,
  });
  picture.addEventListener("error", () => picture.replaceWith(none()), { once: true });
  return element("a", { class: "failure-preview", href: `/failed/${id}`, target: "_blank", rel: "noopener" }, picture);
}

function bytes(size) {
  const step = Math.min(UNITS.length - 1, size < 1000 ? 0 : Math.floor(Math.log10(size) / 3));
  return `${Number((size / 1000 ** step).toPrecision(3)).toLocaleString("en")} ${UNITS[step]}`;
}
