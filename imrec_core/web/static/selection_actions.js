/** What can be done with the selected pictures: paths, downloads, and their duplicates. */

import { post } from "./api.js";
import { counted, dialog, element, toast } from "./dom.js";
import { selection } from "./selection.js";
import { megabytes } from "./uploads.js";

const sizeOf = (bytes) => (bytes < 1e9 ? megabytes(bytes) : `${Number((bytes / 1e9).toFixed(1))} GB`);

/** Send the selection to the server, and return its handle and sizes. Unselects pictures that the lake has no more. */
export async function sendSelection() {
  const sent = await post("/api/selections", { images: selection.ids() });
  if (sent.unknown.length) {
    selection.set(sent.unknown, false);
    const verb = sent.unknown.length === 1 ? "is" : "are";
    toast(`${counted(sent.unknown.length, "selected picture")} ${verb} no longer in the lake`);
  }
  return sent;
}

/** Copy the paths of the selected pictures, one a line. */
export async function copyPaths() {
  const text = await textOf("paths");
  try {
    await navigator.clipboard.writeText(text);
    toast(`${counted(selection.size, "path")} copied`);
  } catch {
    showText(text); // without https, a browser has no clipboard except on the machine of the server
  }
}

/** Download the properties as CSV, or the paths as a text. */
export async function downloadText(kind, name) {
  const address = URL.createObjectURL(new Blob([await textOf(kind)]));
  save(address, name);
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Download the files as a zip, which the browser saves while it arrives. */
export async function downloadZip() {
  const { selection: handle, images, byte_size: size, max_zip_bytes: most } = await sendSelection();
  if (size > most) {
    const sizes = `The pictures have ${sizeOf(size)}, and a zip has at most ${sizeOf(most)}`;
    return toast(`${sizes}. Select fewer, or take the list of paths.`);
  }
  if (!images) return toast("None of the selected pictures is in the lake");
  save(`/api/selections/${handle}/zip`, "imrec-pictures.zip");
  toast(`Downloading ${counted(images, "picture")}, ${sizeOf(size)}`);
}

async function textOf(kind) {
  const { selection: handle } = await sendSelection();
  const answer = await fetch(`/api/selections/${handle}/${kind}`);
  if (answer.ok) return answer.text();
  throw new Error((await answer.json().catch(() => ({}))).error ?? `The server answered ${answer.status}`);
}

function save(address, name) {
  const link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

function showText(text) {
  const box = element("textarea", { rows: 12, readonly: true, "aria-label": "Paths" });
  box.value = text;
  const words = "This browser lets the page copy nothing. Copy the paths from here:";
  dialog("Paths", { class: "paths" }, element("h2", {}, "Paths"), element("p", {}, words), box);
  box.select();
}
