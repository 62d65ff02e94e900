/** The view "Map": every image as a point, similar images near each other; select points and search with them. */

import { get, isOvertaken } from "./api.js";
import { counted, element, fill, isTyping } from "./dom.js";
import { makeBar } from "./map_bar.js";
import { makeCard } from "./map_card.js";
import { coloursOf, showLegend, standOut } from "./map_colours.js";
import { drawMap } from "./map_draw.js";
import { makeLasso } from "./map_lasso.js";
import { makePanel } from "./map_panel.js";
import { makePictures } from "./map_pictures.js";
import { boundsOf, outline, pointsOf } from "./map_points.js";
import { navigate, setAddress } from "./router.js";
import { addressOf, BLANK, currentSearch } from "./state.js";
import { styles } from "./styles.js";

const REACH = 9; // pixels from a point that still hit it
const STEP = 90; // pixels that an arrow key moves the map
const CLICK = 5; // pixels that a pointer may move in a click

export const keys = [
  ["← → ↑ ↓", "Move the map"],
  ["+ -", "Zoom in, zoom out"],
  ["0", "Show the whole map"],
  ["l", "Draw a line around pictures"],
  ["p", "Show or hide the pictures"],
  ["Shift", "Hold while dragging to draw a line"],
  ["Esc", "Clear the selection"],
];

let view = null; // the state of the view while it is mounted

export async function mount(root, params) {
  const mine = (view = { root, stop: [], controller: new AbortController() });
  fill(root, element("h1", { class: "unseen" }, "Map"), element("p", { class: "soft busy" }, "Loading the map …"));
  try {
    const [offered] = await Promise.all([get("/api/map"), styles("/static/map.css")]);
    if (view !== mine) return;
    view.offered = offered;
    if (!offered.maps.length) return void fill(root, element("h1", {}, "Map"), noMap());
    await open(params);
  } catch (error) {
    if (view !== mine || isOvertaken(error)) return;
    fill(root, element("h1", {}, "Map"), element("p", { class: "error" }, error.message));
  }
}

export function unmount() {
  close();
  view = null;
}

/** Set map, colours and marked image by the parameters of the URL. */
export function update(params) {
  if (!view.shown || nameOf(params) !== view.map.name) {
    close();
    return void mount(view.root, params);
  }
  if (byOf(params) !== view.by) colour(byOf(params));
  pointAt(params.get("at"));
}

function close() {
  view.controller.abort();
  for (const stop of view.stop) stop();
}

function noMap() {
  return element(
    "div",
    { class: "empty" },
    element("h2", {}, "There is no map yet"),
    element("p", {}, "A map places similar pictures near each other. Make one with:"),
    element("p", {}, element("code", {}, "imrec map")),
  );
}

function nameOf(params) {
  const { maps } = view.offered;
  return params.get("name") ?? (maps.find((map) => map.is_current) ?? maps[0]).name;
}

function byOf(params) {
  const by = params.get("by");
  return view.offered.colours.includes(by) ? by : "cluster";
}

async function open(params) {
  const mine = view;
  const map = await get(`/api/map/${encodeURIComponent(nameOf(params))}`, {}, { signal: view.controller.signal });
  if (view !== mine) return;
  const points = pointsOf(map);
  Object.assign(view, { map, points, chosen: null, by: null });
  build();
  await draw();
  if (view !== mine) return;
  view.shown = true;
  await colour(byOf(params));
  if (view === mine) pointAt(params.get("at"));
}

function build() {
  const { map, points, root, offered } = view;
  const said = `Map of ${counted(points.count, "picture")}. Arrow keys move it, plus and minus zoom; `;
  const stage = element("div", {
    class: "map-stage",
    id: "map-stage",
    tabindex: 0,
    role: "application",
    "aria-label": `${said}the clusters are listed beside it.`,
  });
  const canvas = element("div", { class: "map-canvas" });
  const pictures = element("div", { class: "map-pictures", "aria-hidden": "true" });
  const legend = element("div", { class: "legend", role: "group", "aria-label": "What the colours mean" });
  fill(stage, canvas, pictures);
  const card = makeCard(stage);
  const panel = makePanel(map, points, legend, {
    onLike: like,
    onWithin: searchWithin,
    onClear: () => choose(null),
    onOpen: openPicture,
    onCluster: chooseCluster,
  });
  const bar = makeBar(map, points.count, offered, {
    onColour: (by) => (setAddress(here({ by })), colour(by)),
    onMap: (name) => navigate(`/map?${new URLSearchParams({ name })}`),
    onLasso: () => arm(!view.armed),
    onPictures: togglePictures,
    onZoom: (steps) => view.drawn?.zoomBy(steps),
    onFit: () => view.drawn?.fit(),
  });
  fill(
    root,
    element("h1", { class: "unseen" }, "Map"),
    bar.root,
    element("div", { class: "map-view" }, element("div", { class: "map-frame" }, stage), panel.root),
  );
  Object.assign(view, { stage, canvas, card, legend, panel });
  Object.assign(view, { lassoTool: bar.lasso, pictureRoot: pictures, bySelect: bar.by });
}

/** Draw the points. Without WebGL the clusters are still listed. */
async function draw() {
  const mine = view;
  const { canvas, points, map, stage } = view;
  const undrawn = (error) => fill(
    canvas,
    element(
      "p",
      { class: "error" },
      `This browser cannot draw the map: ${error?.message ?? error}. The clusters are listed beside it.`,
    ),
  );
  canvas.addEventListener("undrawn", (event) => undrawn(event.detail));
  if (!document.createElement("canvas").getContext("webgl2")) return undrawn("it has no WebGL 2");
  const drawn = await drawMap(canvas, points, { onCamera: moved, onRest: rested }).catch(undrawn);
  if (!drawn) return;
  if (view !== mine) return drawn.destroy();
  const pictures = makePictures(view.pictureRoot, drawn.camera, points, map.clusters);
  const lasso = makeLasso(stage, drawn.camera, { onDone: chooseInside });
  Object.assign(view, { drawn, pictures, lasso });
  view.stop.push(() => drawn.destroy(), listenTo(stage));
  drawn.fit();
}

function moved() {
  view.pictures?.place();
  view.lasso?.place();
  view.card.hide();
  view.stage.dataset.state = "moving";
}

function rested() {
  view.pictures?.settle();
  view.stage.dataset.state = "rest";
}

// -- colours

async function colour(by) {
  const mine = view;
  view.by = by;
  view.bySelect.value = by;
  try {
    const { rgba, ...legend } = await coloursOf(view.map, view.points, by, view.controller.signal);
    if (view !== mine || view.by !== by) return;
    view.rgba = rgba;
    showLegend(
      view.legend,
      legend,
      (has, label) => choose({
        indices: view.points.those(has),
        label: `of ${by} ${label.replace(/ \([\d,]+\)$/, "")}`,
      }),
    );
    paint();
  } catch (error) {
    if (!isOvertaken(error)) fill(view.legend, element("p", { class: "error" }, error.message));
  }
}

function paint() {
  if (!view.rgba) return;
  standOut(view.rgba, view.chosen?.indices ?? null);
  view.drawn?.paint(view.rgba);
}

/** Return the URL of the view, with changes. */
function here({ by = view.by, at = null }) {
  const params = new URLSearchParams();
  if (view.offered.maps.length > 1) params.set("name", view.map.name);
  if (by !== "cluster") params.set("by", by);
  if (at) params.set("at", at);
  return params.size ? `/map?${params}` : "/map";
}

// -- choosing

function choose(chosen) {
  view.chosen = chosen;
  view.lasso?.show(chosen?.polygon ?? null);
  view.panel.show(chosen);
  paint();
}

function chooseInside(polygon) {
  arm(false);
  choose({ indices: view.points.inside(polygon), label: "inside the line", polygon });
}

function chooseCluster(cluster) {
  const indices = view.points.those((i) => view.points.cluster[i] === cluster.cluster);
  choose({ indices, label: "in this cluster", polygon: outline(view.points, indices), cluster });
  view.drawn?.fit(boundsOf(view.points.x, view.points.y, indices));
}

function arm(does) {
  view.armed = does && Boolean(view.lasso);
  view.lasso?.arm(view.armed);
  view.drawn?.grab(!view.armed);
  view.lassoTool.setAttribute("aria-pressed", String(view.armed));
}

/** Show or hide the thumbnails, which cover the colours of points. */
function togglePictures() {
  const isShown = view.pictureRoot.hidden;
  view.pictureRoot.hidden = !isShown;
  document.getElementById("pictures").setAttribute("aria-pressed", String(isShown));
}

function like(indices) {
  const search = currentSearch();
  const ids = indices.map(view.points.idOf);
  const others = (entries) => entries.filter((entry) => !ids.includes(entry.image_id));
  const liked = ids.map((image_id) => ({ image_id }));
  navigate(addressOf({
    ...search,
    like: [...others(search.like), ...liked],
    unlike: others(search.unlike),
    open: null,
  }));
}

function searchWithin() {
  navigate(addressOf({ ...currentSearch(), within: { map: view.map.name, polygon: view.chosen.polygon }, open: null }));
}

// -- single pictures

/** Mark the images with these ids, separated by commas, and move the map to them. */
function pointAt(ids) {
  if (!view.pictures) return;
  const indices = (ids ?? "").split(",").map(view.points.indexOf).filter((i) => i >= 0);
  view.pictures.mark(indices);
  if (!indices.length) return;
  const [[x, y], { bounds }] = [[view.points.x[indices[0]], view.points.y[indices[0]]], view.points];
  const around = Math.max(bounds.right - bounds.left, bounds.top - bounds.bottom) / 16;
  const box = boundsOf(view.points.x, view.points.y, indices);
  view.drawn.fit(
    indices.length > 1 ? box : { left: x - around, right: x + around, bottom: y - around, top: y + around },
  );
}

async function openPicture(index, among = [index]) {
  const mine = view;
  const { openDetail } = await import("./detail.js");
  if (view !== mine) return;
  const { idOf } = view.points;
  let place = among.indexOf(index);
  const acts = {
    like: () => like([among[place]]),
    unlike: () => navigate(addressOf({
      ...currentSearch(),
      unlike: [...currentSearch().unlike, { image_id: idOf(among[place]) }],
      open: null,
    })),
    more: () => navigate(addressOf({ ...BLANK, like: [{ image_id: idOf(among[place]) }] })),
  };
  const detail = openDetail({ onAct: (action) => (detail.close(), acts[action]()), onStep: step, onClose: () => {} });
  view.stop.push(() => detail.close());
  step(0);
  function step(by) {
    if (!(place + by in among)) return;
    place += by;
    detail.show({ image_id: idOf(among[place]) }, BLANK, [], { first: place === 0, last: place === among.length - 1 });
    view.pictures?.mark([among[place]]);
  }
}

/** Find what is at a position of the stage: {point} or {cluster}; null for neither. */
function under(left, top) {
  const picture = view.pictures.at(left, top);
  if (picture) return picture;
  const { camera } = view.drawn;
  const point = view.points.nearest(...camera.toPlane(left, top), REACH / camera.scale());
  return point < 0 ? null : { point };
}

function listenTo(stage) {
  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  let pressed = null;
  let asked = 0;
  const listeners = {
    pointerdown: (event) => (pressed = at(event)),
    pointerup(event) {
      const [left, top] = at(event);
      const isStill = pressed && Math.hypot(left - pressed[0], top - pressed[1]) <= CLICK;
      const isClick = isStill && !event.shiftKey && !view.armed;
      pressed = null;
      const found = isClick && under(left, top);
      if (found?.cluster) chooseCluster(found.cluster);
      else if (found) openPicture(found.point);
    },
    pointermove(event) {
      cancelAnimationFrame(asked);
      if (event.buttons || event.pointerType === "touch" || view.armed) return;
      asked = requestAnimationFrame(() => view?.stage === stage && hover(...at(event)));
    },
    pointerleave: leave,
  };
  for (const [name, listen] of Object.entries(listeners)) stage.addEventListener(name, listen);
  document.addEventListener("keydown", keyed);
  view.stop.push(() => document.removeEventListener("keydown", keyed));
  function leave() {
    cancelAnimationFrame(asked);
    view?.card.hide();
  }
  return leave;
}

function hover(left, top) {
  const found = under(left, top);
  view.stage.classList.toggle("over", Boolean(found));
  view.card.show(left, top, found && !found.cluster ? view.points.idOf(found.point) : "");
}

/** Handle keys: arrows move the map while it has the focus, other keys act wherever the focus is. */
function keyed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  const { drawn } = view;
  if (!drawn) return;
  const moves = {
    ArrowLeft: () => drawn.panBy(-STEP, 0),
    ArrowRight: () => drawn.panBy(STEP, 0),
    ArrowUp: () => drawn.panBy(0, -STEP),
    ArrowDown: () => drawn.panBy(0, STEP),
  };
  const acts = {
    "+": () => drawn.zoomBy(0.5),
    "=": () => drawn.zoomBy(0.5),
    "-": () => drawn.zoomBy(-0.5),
    0: () => drawn.fit(),
    l: () => arm(!view.armed),
    p: togglePictures,
    Escape: () => (arm(false), choose(null)),
  };
  const act = (event.target === view.stage && moves[event.key]) || acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}
