/** The page of a lake before its first generation: it shows the images found, and opens the search when it is there. */

import { counted } from "./dom.js";

const EVERY = 1000; // milliseconds between two requests

const said = document.getElementById("said");

async function look() {
  const answer = await fetch("/building").catch(() => null);
  if (answer?.status === 404) return location.reload(); // the search page is served now
  if (answer?.ok) {
    const { images } = await answer.json();
    say(images ? `${counted(images, "picture")} found; the first are being read.` : "Looking for pictures …");
  } else say("imrec does not answer. If it has ended, run “imrec open” again; completed work is kept.");
  setTimeout(look, EVERY);
}

/** Change the words only if they are others, as screen readers read each change. */
function say(words) {
  if (said.textContent !== words) said.textContent = words;
}

look();
