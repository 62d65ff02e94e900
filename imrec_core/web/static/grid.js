/**
 * The grid of hits. It has the height of all of them, and elements only for those near the view.
 *
 * A hit is known by its place, from 0. Rows are laid out by grid_layout.js, hits are fetched by pages.js: `onNeed` says
 * which places the view is at.
 *
 * To add to tiles, such as a checkbox: `grid.decorate(({ item, tile, hit, place }) => …)`. It is called for each tile
 * that is put into the document, again whenever the same hit comes back into view, and for all that are shown after
 * `grid.redecorate()`. `item` is the `<li>`, which the decoration may append to; `tile` its link. So state belongs to
 * the hit, not to the element. For the ids of places that may not have arrived, ask `pages.idsBetween(first, last)`.
 */

import { element } from "./dom.js";
import { boxesOf, layoutOf, placesBetween, plannedShape, scaleOf, shapeOf } from "./grid_layout.js";
import { isMoving, placeAfter } from "./grid_keys.js";
import { captionHeight, loadThumbnail, placeholder, stopLoading, tileOf } from "./tile.js";
import { tallOf } from "./tile_size.js";
import { dragImage } from "./tray.js";

const EAGER = 12; // thumbnails to load at once; the browser loads others lazily
const ABOVE = 60; // pixels that the header covers

/** Actions of keys on a hit. */
export const ACTIONS = { "+": "like", "=": "like", "-": "unlike", m: "more", Enter: "open" };

/**
 * Create the grid.
 *
 * Calls `onAct(action, hit, place)` with "open", "like", "unlike" or "more"; `onNeed(first, last, { isFast })` with the
 * places near the view, which may have no hits yet; and `onMove()` after it has been scrolled.
 */
export function makeGrid({ addressOf, onAct, onNeed, onMove }) {
  return new Grid({ addressOf, onAct, onNeed, onMove });
}

class Grid {
  constructor(callbacks) {
    Object.assign(this, callbacks);
    this.root = element("ul", { class: "grid", role: "list", id: "pictures", "aria-label": "Pictures" });
    this.items = new Map(); // place → li, of those in the document
    this.decorations = new Set();
    this.below = 0; // pixels that a bar covers at the bottom of the window
    this.clear();
    this.root.addEventListener("click", (event) => this.clicked(event));
    this.root.addEventListener("keydown", (event) => this.keyed(event));
    this.root.addEventListener("focusin", (event) => this.focused(event));
    this.root.addEventListener("dragstart", (event) => {
      const tile = event.target.closest("a.tile");
      if (tile) dragImage(event, tile.dataset.id);
    });
  }

  /** Follow the scroll position and the size of the window; returns a function that stops this. */
  watch() {
    const moved = () => this.ask();
    const resized = new ResizeObserver(() => this.root.clientWidth !== this.layout?.width && this.layOut());
    resized.observe(this.root);
    addEventListener("scroll", moved, { passive: true });
    addEventListener("resize", moved);
    return () => {
      removeEventListener("scroll", moved);
      removeEventListener("resize", moved);
      resized.disconnect();
      cancelAnimationFrame(this.frame);
    };
  }

  // -- hits -------------------------------------------------------------------------------------------------

  clear() {
    this.hits = new Map(); // place → hit
    this.places = new Map(); // image_id → place
    Object.assign(this, { total: 0, features: [], caption: 0, shape: 4 / 3, roving: 0, layout: null, view: 0 });
    this.empty();
  }

  /** Show the first hits of an answer with `total` hits in all. */
  show({ hits, features, total, shape }) {
    this.clear();
    Object.assign(this, { total, features, caption: captionHeight(hits, features) });
    this.shape = plannedShape(hits, shape);
    this.keep(0, hits);
    this.layOut();
  }

  /** Put hits that have arrived at their places. */
  put(offset, hits) {
    this.keep(offset, hits);
    for (let place = offset; place < offset + hits.length; place++) if (this.items.has(place)) this.fill(place);
    this.arrangeRows([...this.items.keys()]);
    this.rove();
  }

  /** Change the number of hits, as far as it was not known. */
  resize(total) {
    if (total === this.total) return;
    this.total = total;
    this.layOut();
  }

  keep(offset, hits) {
    hits.forEach((hit, at) => {
      this.hits.set(offset + at, hit);
      this.places.set(hit.image_id, offset + at);
    });
  }

  hitAt(place) {
    return this.hits.get(place);
  }

  /** Return the place of an image among the hits that have arrived; -1 if it is not. */
  placeOf(imageId) {
    return this.places.get(imageId) ?? -1;
  }

  // -- elements ---------------------------------------------------------------------------------------------

  /** Call `act({ item, tile, hit, place })` for each tile, now and later; returns a function that stops this. */
  decorate(act) {
    this.decorations.add(act);
    this.redecorate();
    return () => this.decorations.delete(act);
  }

  redecorate() {
    for (const [place, item] of this.items) if (this.hits.has(place)) this.decorated(place, item);
  }

  decorated(place, item) {
    const [tile, hit] = [item.querySelector("a.tile"), this.hits.get(place)];
    for (const act of this.decorations) act({ item, tile, hit, place });
  }

  /** Lay all out again, with the same hit at the top of the view. */
  layOut() {
    const width = this.root.clientWidth;
    if (!width) return;
    const top = this.layout && this.top() > 0 ? this.firstSeen() : null;
    const { total, shape, caption } = this;
    this.layout = layoutOf({ width, total, tall: tallOf(innerWidth), shape, caption });
    this.root.style.setProperty("--tall", `${this.layout.picture}px`);
    this.root.style.height = `${scaleOf(this.layout, innerHeight).tall}px`;
    this.empty();
    if (top !== null) this.scrollTo(top);
    this.render();
  }

  empty() {
    for (const item of this.items.values()) stopLoading(item);
    this.items.clear();
    this.root.replaceChildren();
  }

  /** Render before the next frame. */
  ask() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      this.render();
      this.onMove();
    });
  }

  render() {
    if (!this.layout) return;
    const top = this.top();
    const isFast = Math.abs(top - this.view) > innerHeight / 2;
    this.view = top;
    const { first, last } = placesBetween(this.layout, top - innerHeight, top + 2.5 * innerHeight);
    this.root.style.setProperty("--shift", `${this.shift(top)}px`);
    for (const [place, item] of this.items) if (place < first || place > last) this.remove(place, item);
    let next = this.root.firstChild;
    const added = [];
    for (let place = first; place <= last; place++) {
      if (!this.items.has(place)) added.push(place);
      const item = this.items.get(place) ?? this.add(place, next);
      next = item.nextSibling;
    }
    this.arrangeRows(added);
    this.rove();
    this.onNeed(first, last, { isFast });
  }

  /** Remove a tile, unless it has the focus, which would be lost. */
  remove(place, item) {
    if (item.contains(document.activeElement)) return;
    stopLoading(item);
    item.remove();
    this.items.delete(place);
  }

  add(place, next) {
    const attributes = { "aria-setsize": this.total, "aria-posinset": place + 1, dataset: { place } };
    const item = element("li", attributes);
    this.items.set(place, item);
    this.root.insertBefore(item, next);
    this.fill(place);
    return item;
  }

  /** Fill the element of a place with its tile, or with a placeholder. The focus stays on the place. */
  fill(place) {
    const [item, hit] = [this.items.get(place), this.hits.get(place)];
    const hadFocus = item.contains(document.activeElement);
    const shown = hit
      ? tileOf(hit, this.features, this.addressOf(hit), place < EAGER)
      : placeholder(place, this.total);
    item.replaceChildren(shown);
    if (hadFocus) shown.focus({ preventScroll: true });
    if (hit) this.decorated(place, item);
  }

  arrangeRows(places) {
    const { columns } = this.layout;
    for (const first of new Set(places.map((place) => place - (place % columns)))) this.arrange(first);
  }

  /** Give the tiles of a row their boxes. */
  arrange(first) {
    const { columns, row } = this.layout;
    const places = Array.from({ length: Math.min(columns, this.total - first) }, (_, at) => first + at);
    const shapes = places.map((one) => (this.hits.has(one) ? shapeOf(this.hits.get(one)) : this.shape));
    boxesOf(shapes, this.layout).forEach(({ left, width, whole }, at) => {
      const item = this.items.get(first + at);
      if (!item) return;
      Object.assign(item.style, { left: `${left}px`, width: `${width}px`, top: `${(first / columns) * row}px` });
      item.classList.toggle("whole", whole);
      const tile = item.querySelector("a.tile");
      if (tile) loadThumbnail(tile, Math.max(width, this.layout.picture));
    });
  }

  // -- scrolling --------------------------------------------------------------------------------------------

  /** Return the height in the layout that lies at the top of the window; negative above the grid. */
  top() {
    const above = -this.root.getBoundingClientRect().top;
    return above <= 0 || !this.layout ? above : above * scaleOf(this.layout, innerHeight).factor;
  }

  /** Return by how much tiles are moved where the element is not as high as the layout. */
  shift(top) {
    return top <= 0 ? 0 : -this.root.getBoundingClientRect().top - top;
  }

  /** Return the place to come back to: of the first tile that is seen, or 0 at the head of the page. */
  placeInView() {
    return this.top() > 0 ? this.firstSeen() : 0;
  }

  /** Return the place of the first tile that is seen below the header. */
  firstSeen() {
    if (!this.layout) return 0;
    const { row, columns } = this.layout;
    return Math.min(Math.max(0, Math.floor((this.top() + ABOVE) / row) * columns), Math.max(0, this.total - 1));
  }

  /** Scroll so that a place is in the first row that is seen. */
  scrollTo(place) {
    const { row, columns } = this.layout;
    this.scrollToHeight(Math.floor(place / columns) * row - ABOVE);
  }

  scrollToHeight(height) {
    const start = scrollY + this.root.getBoundingClientRect().top;
    const { factor } = scaleOf(this.layout, innerHeight);
    scrollTo({ top: start + (height > 0 ? height / factor : height), behavior: "instant" });
  }

  /** Scroll as little as shows a place. */
  reveal(place) {
    const { row, columns } = this.layout;
    const [top, above] = [this.top(), Math.floor(place / columns) * row];
    if (above < top + ABOVE) this.scrollToHeight(above - ABOVE);
    else if (above + row > top + innerHeight - this.below) {
      this.scrollToHeight(above + row - innerHeight + this.below);
    }
  }

  // -- focus and keys ---------------------------------------------------------------------------------------

  /** Focus a place, by default the one that was focused last. */
  focus(place = this.roving) {
    if (!this.layout || !this.total) return;
    this.roving = Math.min(Math.max(0, place), this.total - 1);
    this.reveal(this.roving);
    this.view = this.top(); // a key is no fast scrolling: its hits are asked for at once
    this.render();
    this.linkOf(this.roving)?.focus({ preventScroll: true });
  }

  linkOf(place) {
    return this.items.get(place)?.querySelector("a.tile, .waiting");
  }

  /** Make one tile reachable by Tab (roving tabindex); arrow keys lead to the others. */
  rove() {
    const wanted = this.linkOf(this.roving) ?? this.linkOf(this.firstSeen()) ?? this.root.querySelector("a.tile");
    for (const other of this.root.querySelectorAll(":is(a.tile, .waiting)[tabindex='0']")) {
      if (other !== wanted) other.tabIndex = -1;
    }
    if (wanted) wanted.tabIndex = 0;
  }

  focused(event) {
    const item = event.target.closest("li");
    if (!item) return;
    this.roving = Number(item.dataset.place);
    this.rove();
  }

  clicked(event) {
    const tile = event.target.closest("a.tile");
    if (!tile || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.act("open", tile);
  }

  keyed(event) {
    const link = event.target.closest("a.tile, .waiting");
    if (!link || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = Number(link.closest("li").dataset.place);
    if (isMoving(event.key)) this.focus(placeAfter(place, event.key, this.layout, innerHeight));
    else if (ACTIONS[event.key] && link.matches("a.tile")) this.act(ACTIONS[event.key], link);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  act(action, tile) {
    const place = Number(tile.closest("li").dataset.place);
    this.onAct(action, this.hits.get(place), place);
  }
}
