/** Slideshow of the hits in the open picture. */

import { announce } from "./dom.js";

export const SECONDS = 4; // for which a picture is shown, after it has loaded
const FADE = 400; // milliseconds

/** Create a slideshow; calls `onNext()` for the next picture, `isLast()` to end, and `onState(isPlaying)`. */
export function makeSlideshow(picture, { onNext, isLast, onState }) {
  let timer = 0;
  let isPlaying = false;

  function start() {
    if (isLast()) return announce("This is the last picture");
    isPlaying = true;
    onState(true);
    announce(`Slideshow, ${SECONDS} seconds a picture`);
    wait();
  }

  function wait() {
    clearTimeout(timer);
    timer = setTimeout(() => (isLast() ? stop() : (onNext(), wait())), SECONDS * 1000);
  }

  /** Stop; returns whether it was playing. */
  function stop() {
    if (!isPlaying) return false;
    clearTimeout(timer);
    isPlaying = false;
    onState(false);
    announce("Slideshow stopped");
    return true;
  }

  picture.addEventListener("load", () => {
    if (!isPlaying) return;
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
      picture.animate([{ opacity: 0 }, { opacity: 1 }], FADE);
    }
    wait(); // counts from when the picture is visible
  });
  return { start, stop, toggle: () => stop() || start() };
}
