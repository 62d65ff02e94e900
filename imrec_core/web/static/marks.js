/** Likes and unlikes that are set while a picture is open, and searched for when it closes. */

import { added } from "./tray.js";

const WORDS = { like: "+ Liked", unlike: "− Less like this" };

/** Return the likes and unlikes of a search after `side` was chosen for an image; chosen again, it is taken back. */
export function marked(search, side, imageId) {
  const { like, unlike } = sideOf(search, imageId) === side
    ? { ...search, [side]: search[side].filter((entry) => !isImage(entry, imageId)) }
    : added(search, side, { image_id: imageId });
  return { like, unlike };
}

/** Return "like" or "unlike" for an image that is an entry as a whole; null for others. */
export function sideOf(search, imageId) {
  return Object.keys(WORDS).find((side) => search[side].some((entry) => isImage(entry, imageId))) ?? null;
}

/** Return the words of the badge of a side. */
export function badgeOf(side) {
  return side ? WORDS[side] : "";
}

/** Test whether two searches have the same likes and unlikes. */
export function isSame(a, b) {
  const text = ({ like, unlike }) => JSON.stringify([like, unlike]);
  return text(a) === text(b);
}

function isImage(entry, imageId) {
  return entry.image_id === imageId && !entry.crop;
}
