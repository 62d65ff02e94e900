/** The view "Map": every image as a point, similar images near each other; select points and search with them. */

import { get, isOvertaken } from "./api.js";
import { counted, element, fill, toast } from "./dom.js";
import { makeBar, setPressed } from "./map_bar.js";
import { makeCard } from "./map_card.js";
import { coloursOf, showLegend, standOut } from "./map_colours.js";
import { drawMap } from "./map_draw.js";
import { makeHits, raisedOf } from "./map_hits.js";
import { listenTo, listenToKeys } from "./map_input.js";
import { makeLasso } from "./map_lasso.js";
import { makeLost, noMap } from "./map_lost.js";
import { loadNames, makeLabels } from "./map_names.js";
import { makeOverview } from "./map_overview.js";
import { makePanel } from "./map_panel.js";
import { makePictures } from "./map_pictures.js";
import { boundsOf, outline, pointsOf } from "./map_points.js";
import { coveredIn } from "./map_room.js";
import { openAmong, searchLike, searchWithin } from "./map_search.js";
import { navigate, setAddress } from "./router.js";
import { styles } from "./styles.js";

export { keys } from "./map_input.js";

const REACH = 9; // pixels from a point that still hit it

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
  view.hits.show(params.get("search"));
  pointAt(params.get("at"));
}

function close() {
  view.controller.abort();
  for (const stop of view.stop) stop();
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
  name();
  await colour(byOf(params));
  if (view !== mine) return;
  view.hits.show(params.get("search"));
  pointAt(params.get("at"));
}

/** Show the names of the clusters when they are there; the map is usable before, and without them. */
async function name() {
  const mine = view;
  try {
    await loadNames(mine.map, mine.controller.signal);
  } catch (error) {
    if (!isOvertaken(error)) toast(`Clusters have no names: ${error.message}`);
    return;
  }
  if (view !== mine) return;
  view.panel.showNames();
  settleLabels();
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
  const hits = makeHits(map, points, view.controller.signal, {
    onChange: () => (setPressed(bar.hits, Boolean(hits.current())), paint(), rested()),
    onAddress: (search) => setAddress(here({ search })),
  });
  const panel = makePanel(map, points, legend, {
    onLike: (indices) => searchLike(indices.map(points.idOf)),
    onWithin: () => searchWithin(map, view.chosen.polygon),
    onClear: () => choose(null),
    onOpen: openPicture,
    onCluster: chooseCluster,
  });
  const bar = makeBar(map, points.count, offered, {
    onColour: (by) => (setAddress(here({ by })), colour(by)),
    onMap: (name) => navigate(here({ name, by: "cluster" })),
    onLasso: () => arm(!view.armed),
    onPictures: () => toggle("pictures"),
    onNames: () => toggle("names"),
    onHits: hits.toggle,
    onZoom: (steps) => view.drawn?.zoomBy(steps),
    onFit: () => view.drawn?.fit(),
  });
  fill(
    root,
    element("h1", { class: "unseen" }, "Map"),
    bar.root,
    element("div", { class: "map-view" }, element("div", { class: "map-frame" }, stage, hits.root), panel.root),
  );
  Object.assign(view, { stage, canvas, card, legend, panel, hits, bar });
  Object.assign(view, { pictureRoot: pictures, bySelect: bar.by });
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
  const { camera } = drawn;
  const pictures = makePictures(view.pictureRoot, camera, points, map.clusters, () => coveredIn(stage));
  const labels = makeLabels(camera, map.clusters);
  const lasso = makeLasso(stage, camera, { onDone: chooseInside });
  const overview = makeOverview(camera, points, { onMove: (target) => drawn.look(target, camera.zoom) });
  const lost = makeLost(camera, points, { onFit: () => (drawn.fit(), stage.focus()) });
  view.pictureRoot.after(labels.root);
  stage.after(overview.root, lost.root);
  Object.assign(view, { drawn, pictures, labels, lasso, overview, lost });
  view.stop.push(() => drawn.destroy(), listenTo(stage, pointing()), listenToKeys(stage, drawn, acts()));
  drawn.fit();
}

function moved() {
  for (const part of ["pictures", "labels", "lasso", "overview"]) view[part]?.place();
  view.lost?.check();
  view.card.hide();
  view.stage.dataset.state = "moving";
}

function rested() {
  view.pictures?.settle();
  settleLabels();
  view.stage.dataset.state = "rest";
}

function settleLabels() {
  const covered = coveredIn(view.stage).map((box) => ({ box }));
  view.labels?.settle([...covered, ...view.pictures.boxes()]);
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
  standOut(view.rgba, view.chosen?.indices ?? view.hits.current()?.indices ?? null);
  view.drawn?.paint(view.rgba);
  view.drawn?.raise(raisedOf(view.hits.current()), view.rgba);
}

/** Return the URL of the view, with changes. */
function here({ name = view.map.name, by = view.by, at = null, search = view.hits.current()?.address }) {
  const params = new URLSearchParams();
  if (view.offered.maps.length > 1) params.set("name", name);
  if (by !== "cluster") params.set("by", by);
  if (at) params.set("at", at);
  if (search) params.set("search", search);
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
  setPressed(view.bar.lasso, view.armed);
}

/** Show or hide the pictures or the names, which cover points. */
function toggle(what) {
  const root = what === "names" ? view.labels?.root : view.pictureRoot;
  if (!root) return;
  root.hidden = !root.hidden;
  setPressed(view.bar[what], !root.hidden);
  settleLabels(); // at the bubbles, or without them over the points
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
  const detail = await openAmong(among.map(view.points.idOf), among.indexOf(index), {
    isShown: () => view === mine,
    onShow: (place) => view === mine && view.pictures?.mark([among[place]]),
  });
  if (view === mine) view.stop.push(() => detail.close());
  else detail.close();
}

// -- pointer and keys

/** Find what is at a position of the stage: {point} or {cluster}; null for neither. */
function under(left, top) {
  const found = view.pictures.at(left, top) ?? (view.labels.root.hidden ? null : view.labels.at(left, top));
  if (found) return found;
  const { camera } = view.drawn;
  const point = view.points.nearest(...camera.toPlane(left, top), REACH / camera.scale());
  return point < 0 ? null : { point };
}

/** Return what the pointer does, for `listenTo`. */
function pointing() {
  const mine = view;
  return {
    isDrawing: () => mine.armed,
    onLeave: () => mine.card.hide(),
    onClick(left, top) {
      const found = under(left, top);
      if (found?.cluster) chooseCluster(found.cluster);
      else if (found) openPicture(found.point);
    },
    onHover(left, top) {
      if (view !== mine) return;
      const found = under(left, top);
      view.stage.classList.toggle("over", Boolean(found));
      view.card.show(left, top, found && !found.cluster ? view.points.idOf(found.point) : "");
    },
  };
}

/** Return what keys do, for `listenToKeys`. */
function acts() {
  return {
    l: () => arm(!view.armed),
    p: () => toggle("pictures"),
    n: () => toggle("names"),
    h: view.hits.toggle,
    Escape: () => (arm(false), choose(null)),
  };
}
