/** Drawing of the points with deck.gl. While the map moves, only as many points are drawn as keep it smooth. */

import { cameraOn, keepInView } from "./map_camera.js";
import { loadDeck, pointsLayer } from "./map_layer.js";

const SLOW = 45; // milliseconds of a frame; above it fewer points are drawn while the map moves
const FAST = 24; // below it more points are drawn
const FEWEST = 40_000;
const REST = 180; // milliseconds without a move
const RAISED = 8; // least pixels of a raised point

/**
 * Draw points in an element. Calls `onCamera()` for every move, and `onRest()` when it ends.
 *
 * Returns {camera, paint, raise, look, fit, zoomBy, panBy, grab, destroy}; `camera` converts positions.
 */
export async function drawMap(parent, points, { onCamera, onRest }) {
  const deck = await loadDeck();
  const order = scattered(points.count);
  const positions = new Float32Array(2 * points.count);
  for (let k = 0; k < points.count; k++) [positions[2 * k], positions[2 * k + 1]] = [
    points.x[order[k]],
    points.y[order[k]],
  ];
  let rgba = new Uint8Array(4 * points.count);
  const camera = cameraOn(parent, points.bounds);
  let share = 1; // of the points to draw while the map moves
  let pace = SLOW; // milliseconds of a frame, smoothed
  let moving = 0;
  let grabs = true;
  let raises = 0; // sets of raised points so far
  let raised = null; // points that are drawn larger, above the others
  let pointer = null; // position on the screen, at which the wheel zooms
  parent.addEventListener("pointermove", (event) => {
    const box = parent.getBoundingClientRect();
    pointer = [event.clientX - box.left, event.clientY - box.top];
  });
  parent.addEventListener("pointerleave", () => (pointer = null));
  const drawn = new deck.Deck({
    parent,
    views: new deck.OrthographicView({ flipY: false }),
    viewState: camera.state(),
    controller: controls(grabs),
    pickingRadius: 0,
    onViewStateChange: ({ viewState }) => look(viewState.target, viewState.zoom, pointer),
    onResize: () => look(camera.target, camera.zoom),
    onError: (error) => parent.dispatchEvent(new CustomEvent("undrawn", { detail: error })),
    layers: [],
  });

  function controls(grab) {
    return {
      dragPan: grab,
      dragRotate: false,
      touchRotate: false,
      doubleClickZoom: false,
      keyboard: false,
      scrollZoom: { speed: 0.02, smooth: false },
      inertia: 180,
    };
  }

  function redraw() {
    const Layer = pointsLayer(deck);
    const count = moving ? Math.min(points.count, Math.max(FEWEST, Math.floor(points.count * share))) : points.count;
    const layer = new Layer({
      id: "points",
      positions,
      rgba,
      count,
      size: camera.pointSize(points.count) * devicePixelRatio,
    });
    drawn.setProps({ viewState: camera.state(), layers: [layer, raised && raisedLayer(Layer)] });
  }

  /** Create the layer of the raised points; another number of points needs other buffers, so another layer. */
  function raisedLayer(Layer) {
    const size = Math.max(RAISED, 1.5 * camera.pointSize(points.count)) * devicePixelRatio;
    return new Layer({ ...raised, size });
  }

  function look(target, zoom, spot = null) {
    const [before, middle] = [camera.zoom, camera.target];
    camera.set(target, zoom);
    const isAtLimit = camera.zoom === before && [zoom].flat()[0] !== before;
    if (isAtLimit) camera.set(middle, before); // deck moved the target for a zoom that was not reached
    if (camera.zoom > before) keepInView(camera, points, spot ?? camera.size().map((side) => side / 2));
    if (!moving) follow();
    clearTimeout(moving);
    const rest = Math.max(REST, 4 * pace); // longer than slow frames take
    moving = setTimeout(() => ((moving = 0), redraw(), onRest()), rest);
    redraw();
    onCamera();
  }

  /** Adapt the share to the smoothed time of frames; every other frame waits for the screen. */
  function follow() {
    let before = 0;
    const step = (now) => {
      if (before) pace = 0.7 * pace + 0.3 * (now - before);
      before = now;
      if (pace > SLOW) share = Math.max(share * 0.7, FEWEST / points.count);
      else if (pace < FAST) share = Math.min(share * 1.3, 1);
      if (moving) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  return {
    camera,
    /** Set the colours `(count, 4)`, in the order of the points. */
    paint(colours) {
      rgba = new Uint8Array(4 * points.count);
      const [from, to] = [new Uint32Array(colours.buffer), new Uint32Array(rgba.buffer)];
      for (let k = 0; k < points.count; k++) to[k] = from[order[k]];
      redraw();
    },
    /** Draw points larger, above the others, with the colours `(count, 4)` of all points; null for none. */
    raise(indices, colours) {
      const picked = indices?.length ? Array.from(indices) : null;
      raised = picked && {
        id: `raised-${++raises}`,
        positions: Float32Array.from(picked.flatMap((i) => [points.x[i], points.y[i]])),
        rgba: Uint8Array.from(picked.flatMap((i) => [...colours.subarray(4 * i, 4 * i + 4)])),
        count: picked.length,
      };
      redraw();
    },
    /** Show another part of the plane: its middle, and the zoom. */
    look: (target, zoom) => look(target, zoom),
    /** Zoom to a box of the plane, by default the whole map. */
    fit: (box = points.bounds) => look(...camera.framing(box)),
    zoomBy: (doublings) => look(camera.target, camera.zoom + doublings),
    panBy: (right, down) => look(
      [camera.target[0] + right / camera.scale(), camera.target[1] - down / camera.scale()],
      camera.zoom,
    ),
    /** Set whether dragging moves the map. */
    grab(does) {
      if (does !== grabs) drawn.setProps({ controller: controls((grabs = does)) });
    },
    destroy() {
      clearTimeout(moving);
      drawn.finalize();
    },
  };
}

/** Return a fixed random order, whose every prefix is spread over all points. */
function scattered(count) {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  let random = 1;
  for (let i = count - 1; i > 0; i--) {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((random / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
