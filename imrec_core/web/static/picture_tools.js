/** The buttons on the open picture: zoom, full screen, slideshow, search by a part. */

import { element, fill } from "./dom.js";
import { SECONDS } from "./slideshow.js";

/** Create the buttons; `onPart()` starts to draw a rectangle. */
export function makeTools({ stage, zoom, slideshow, onPart }) {
  const tool = (words, title, key, act) => element(
    "button",
    { type: "button", title: `${title} (${key})`, "aria-keyshortcuts": key, onclick: act },
    words,
  );
  const size = tool("100 %", "Size of the window, or 100 %", "z", () => zoom.toggle());
  const full = tool("Full screen", "The picture alone on the screen", "f", toggleFull);
  const play = tool("Slideshow", `Slideshow, ${SECONDS} seconds a picture`, "p", () => slideshow.toggle());
  const part = tool("Search by a part", "Search by a part of this picture", "c", onPart);
  const percent = element("span", { class: "percent small", "aria-hidden": "true" });
  full.hidden = !document.fullscreenEnabled;
  const root = element(
    "div",
    { class: "tools", role: "group", "aria-label": "View of the picture" },
    percent,
    size,
    full,
    play,
    part,
  );

  async function toggleFull() {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else await stage.requestFullscreen(); // the stage: browsers refuse a dialog
    } catch {
      full.hidden = true; // refused, for example within a frame
    }
  }

  return {
    root,
    play,
    part,
    /** Run the action of a key; returns whether it has one. */
    keyed(key) {
      if (key === "z") zoom.toggle();
      else if (key === "i") zoom.by(1);
      else if (key === "o") zoom.by(-1);
      else if (key === "f" && !full.hidden) toggleFull();
      else if (key === "c") onPart();
      else return false;
      return true;
    },
    showZoom(state) {
      fill(percent, state.percent);
      fill(size, state.next);
    },
    showPlaying(isPlaying) {
      fill(play, isPlaying ? `Pause (${SECONDS} s)` : "Slideshow");
      play.setAttribute("aria-pressed", String(isPlaying));
    },
  };
}
