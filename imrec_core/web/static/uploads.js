/** Images of the user: files while the page is open, and their handles on the server. */

import { ApiError, get, post } from "./api.js";
import { requestOf } from "./state.js";

const files = new Map(); // handle → {file, address}, as long as the page is open

/** Return a URL of an uploaded image, of the file itself if the page has it. */
export function uploadPicture(upload, size = 160) {
  return files.get(upload)?.address ?? `/thumb/upload/${upload}?size=${size}`;
}

/** Return the file name of an upload, if the page knows it; also after a reload. */
export function uploadName(upload) {
  return files.get(upload)?.file.name || sessionStorage.getItem(upload) || "an uploaded picture";
}

/** Create an entry of the tray for a file that is not uploaded yet. */
export function fileEntry(file) {
  return { file, address: URL.createObjectURL(file) };
}

/**
 * Search, and upload the new files of the search with it. Sends files again whose uploads have expired.
 *
 * Returns the response, and the search with handles in place of files.
 */
export async function ask(search, more, options) {
  try {
    return await asked(search, more, options);
  } catch (error) {
    if (error.kind !== "UploadGone") throw error;
    const again = eachEntry(search, (entry) => {
      const held = files.get(entry.upload);
      return held ? { ...entry, upload: undefined, ...held } : entry;
    });
    if (!filesOf(again).length) {
      throw new ApiError(
        "A picture of this search is no longer on the server. Remove it, or upload it again.",
        410,
        error.kind,
      );
    }
    return asked(again, more, options);
  }
}

async function asked(search, more, options) {
  const sent = filesOf(search);
  const numbered = eachEntry(search, (entry) => (entry.file ? { ...entry, file: sent.indexOf(entry) } : entry));
  const request = requestOf(numbered, more);
  const answer = await post("/api/search", sent.length ? form(sent, request) : request, options);
  sent.forEach(({ file, address }, number) => {
    const { upload } = answer.uploads[number];
    files.set(upload, { file, address });
    sessionStorage.setItem(upload, file.name);
  });
  const known = eachEntry(search, (entry) => {
    const at = sent.indexOf(entry);
    return at < 0 ? entry : { upload: answer.uploads[at].upload, weight: entry.weight, crop: entry.crop };
  });
  return { answer, search: known };
}

function form(sent, request) {
  const body = new FormData();
  for (const { file } of sent) body.append("images", file, file.name || "pasted.png");
  body.append("request", JSON.stringify(request));
  return body;
}

/** Remove unreadable files from a search that was refused, and return their errors. */
export async function withoutBadFiles(search) {
  const refused = new Map();
  for (const entry of filesOf(search)) {
    try {
      await asked({ ...search, like: [entry], unlike: [], where: "", names: "", within: null, order_by: "" }, { k: 1 });
    } catch (error) {
      refused.set(entry, error.message);
    }
  }
  const keep = (entries) => entries.filter((entry) => !refused.has(entry));
  return {
    search: { ...search, like: keep(search.like), unlike: keep(search.unlike) },
    reasons: [...refused.values()],
  };
}

/** Return the entries of a search that are files to upload. */
export function filesOf(search) {
  return [...search.like, ...search.unlike].filter((entry) => entry.file);
}

function eachEntry(search, change) {
  return { ...search, like: search.like.map(change), unlike: search.unlike.map(change) };
}

/** Explain why files cannot be sent in one request; empty if they can. */
export function tooMuch(files, limits) {
  const count = files.length;
  if (count > limits.files) return `${count} pictures are too many at once; at most ${limits.files} can be sent.`;
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  if (bytes <= limits.upload_bytes) return "";
  const found = count > 1 ? "These pictures have" : `${files[0].name} has`;
  return `${found} ${megabytes(bytes)}; at most ${megabytes(limits.upload_bytes)} can be sent at once.`;
}

/** Format a size in MB. */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

const names = new Map(); // image_id → name of its file

/** Return the name of an image of the lake, from earlier hits or from the server. */
export async function imageName(imageId) {
  if (!names.has(imageId)) names.set(imageId, (await get(`/api/images/${imageId}`)).path);
  return names.get(imageId);
}

/** Remember the names of hits. */
export function keepNames(hits) {
  for (const hit of hits) names.set(hit.image_id, hit.path);
}

/** Return the remembered name of an image. */
export function knownName(imageId) {
  return names.get(imageId);
}
