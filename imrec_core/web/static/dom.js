/** Create elements. Text is set as text nodes only, so that a file name cannot become markup. */

const SVG = "http://www.w3.org/2000/svg";

/** Create an HTML element: `element("button", {class: "quiet", onclick: act, disabled: busy}, "Go")`. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Create an SVG element in the same way. */
export function drawing(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Set attributes by name; `on…` adds a listener, `style` and `dataset` take objects, true sets an empty value. */
function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, set] of Object.entries(value)) node.style.setProperty(key, set);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name === "value" && "value" in node) node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Replace the children of a node. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Announce a text to screen readers, without moving the focus. */
export function announce(words) {
  document.getElementById("live").textContent = words;
}

/** Show a short message for a few seconds, with an optional button: `toast("Moved", {label: "Undo", act})`. */
export function toast(words, action) {
  const shown = element("div", { class: "toast" }, element("span", {}, words));
  if (action) {
    const act = () => (shown.remove(), action.act());
    shown.append(element("button", { type: "button", class: "quiet", onclick: act }, action.label));
  }
  const toasts = document.getElementById("toasts");
  toasts.append(shown);
  while (toasts.children.length > 3) toasts.firstChild.remove();
  setTimeout(() => shown.remove(), action ? 8000 : 5000);
  announce(words);
}

/** Debounce a function: call `act` when `wait` milliseconds have passed without another call. */
export function debounced(act, wait) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...values), wait);
  };
}

/** Open a modal dialog. Escape, its button or a click beside it close and remove it. */
export function dialog(title, attributes, ...children) {
  const close = element(
    "button",
    { type: "button", class: "quiet close", "aria-label": "Close", onclick: () => shown.close() },
    "✕",
  );
  const shown = element("dialog", { "aria-label": title, ...attributes }, close, ...children);
  shown.addEventListener("click", (event) => event.target === shown && shown.close());
  shown.addEventListener("close", () => shown.remove());
  document.body.append(shown);
  shown.showModal();
  return shown;
}

/** Return the last part of a path: `name` of `holiday/2024/name`. */
export function fileName(path) {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Format a number with its noun: `12,345 hits`. */
export function counted(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** Test whether an element takes text input, so that keys belong to it. */
export function isTyping(node) {
  return node.matches?.("input:not([type=range], [type=checkbox], [type=radio]), textarea, select");
}
