/** Text to copy: a command with its button, and a button alone. */

import { element, toast } from "./dom.js";

/** Create a command with a button that copies it. */
export function commandToCopy(command) {
  const code = element("code", {}, command);
  return element("span", { class: "command" }, code, copyButton("Copy", command, () => code));
}

/** Create a button that copies a text; see `copyText`, which gets the node of `shown()`. */
export function copyButton(label, text, shown) {
  const attributes = {
    type: "button", class: "small", title: `Copy ${text}`, onclick: () => copyText(text, shown()),
  };
  return element("button", attributes, label, element("span", { class: "unseen" }, ` ${text}`));
}

/** Copy a text and say so; where the browser allows no access to the clipboard, select it in a node. */
export async function copyText(text, node, say = toast) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
  } catch {
    node.classList.remove("unseen");
    getSelection().selectAllChildren(node);
    say("Selected; press Ctrl+C to copy");
  }
}
