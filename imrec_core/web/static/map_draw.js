/**
 * Drawing of the points with deck.gl, and the camera, which maps positions of the plane to the screen.
 *
 * The points have their own layer. deck's ScatterplotLayer draws two triangles for each point. Without a graphics card
 * (2 busy cores, SwiftShader), a frame of 500,000 points takes 12 s, of 100,000 1.1 s. With WebGL's point primitive it
 * takes 0.47 s and 0.17 s (2026-11). While the map moves, only as many points are drawn as keep it smooth.
 */

const VERTICES = `#version 300 es
in vec2 positions;
in vec4 colors;
out vec4 color;
void main() {
  gl_Position = vec4((positions - points.center) * points.scale, 0.0, 1.0);
  gl_PointSize = points.size;
  color = colors;
}`;
const FRAGMENTS = `#version 300 es
precision highp float;
in vec4 color;
out vec4 fragColor;
void main() {
  vec2 off = gl_PointCoord - 0.5;
  if (points.size > 3.5 && dot(off, off) > 0.25) discard;
  fragColor = color;
}`;
const UNIFORMS = `layout(std140) uniform pointsUniforms {
  vec2 center;
  vec2 scale;
  float size;
} points;
`;
const MODULE = {
  name: "points",
  vs: UNIFORMS,
  fs: UNIFORMS,
  uniformTypes: { center: "vec2<f32>", scale: "vec2<f32>", size: "f32" },
};

const DEEPEST = 14; // maximum zoom, in doublings from the whole map
const SLOW = 45; // milliseconds of a frame; above it fewer points are drawn while the map moves
const FAST = 24; // below it more points are drawn
const FEWEST = 40_000;
const REST = 180; // milliseconds without a move

let library = null;

/** Load deck.gl, which is large, when a map is opened. */
function loadDeck() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/static/vendor/deck.js";
    script.onload = () => resolve(globalThis.deck);
    script.onerror = () => ((library = null), script.remove(), reject(
      new Error("deck.gl, which draws the map, cannot be loaded. Is “imrec[web]” installed?"),
    ));
    document.head.append(script);
  });
  return library;
}

let Points = null;

function pointsLayer(deck) {
  Points ??= class extends deck.Layer {
    static layerName = "Points";

    // A buffer per drawing; the layer only passes them on.
    initializeState() {
      const { device } = this.context;
      const { positions, rgba } = this.props;
      const [places, colors] = [device.createBuffer({ data: positions }), device.createBuffer({ data: rgba })];
      this.getAttributeManager().remove("instancePickingColors"); // unused: the grid finds points faster
      const model = new globalThis.luma.Model(device, {
        id: this.props.id, vs: VERTICES, fs: FRAGMENTS, modules: [MODULE], topology: "point-list",
        bufferLayout: [{ name: "positions", format: "float32x2" }, { name: "colors", format: "unorm8x4" }],
        attributes: { positions: places, colors },
        vertexCount: this.props.count,
        parameters: { depthWriteEnabled: false, depthCompare: "always" },
      });
      this.setState({ model, places, colors });
    }

    updateState({ props, oldProps }) {
      if (oldProps.rgba && props.rgba !== oldProps.rgba) this.state.colors.write(props.rgba);
    }

    getModels() {
      return []; // else deck sets uniforms that these shaders lack
    }

    draw() {
      const { viewport, renderPass } = this.context;
      const { model } = this.state;
      const scale = 2 ** (viewport.zoom + 1);
      const [centerX, centerY] = viewport.target ?? viewport.position;
      model.setVertexCount(this.props.count);
      model.shaderInputs.setProps({
        points: {
          center: [centerX, centerY],
          scale: [scale / viewport.width, scale / viewport.height],
          size: this.props.size,
        },
      });
      model.draw(renderPass);
    }

    finalizeState(context) {
      super.finalizeState(context);
      for (const held of ["model", "places", "colors"]) this.state[held]?.destroy();
    }
  };
  return Points;
}

/**
 * Draw points in an element. Calls `onCamera()` for every move, and `onRest()` when it ends.
 *
 * Returns {camera, paint, look, fit, zoomBy, panBy, grab, destroy}; `camera` converts positions.
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
  const drawn = new deck.Deck({
    parent,
    views: new deck.OrthographicView({ flipY: false }),
    viewState: camera.state(),
    controller: controls(grabs),
    pickingRadius: 0,
    onViewStateChange: ({ viewState }) => look(viewState.target, viewState.zoom),
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
    drawn.setProps({ viewState: camera.state(), layers: [layer] });
  }

  function look(target, zoom) {
    camera.set(target, zoom);
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
    look,
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

function cameraOn(parent, bounds) {
  const size = () => [parent.clientWidth || 1, parent.clientHeight || 1];
  const framing = ({ left, right, bottom, top }) => {
    const [width, height] = size();
    const free = Math.max(40, Math.min(width, height) - 90); // a margin for thumbnails at the edge
    const scale = Math.min(
      (width / Math.min(width, height)) * (free / (right - left || 1e-3)),
      (height / Math.min(width, height)) * (free / (top - bottom || 1e-3)),
    );
    return [[(left + right) / 2, (bottom + top) / 2], Math.log2(scale)];
  };
  const camera = {
    target: [0, 0],
    zoom: 0,
    framing,
    scale: () => 2 ** camera.zoom,
    state: () => ({ target: [...camera.target, 0], zoom: camera.zoom }),
    /** Set centre and zoom, within limits. */
    set(target, zoom) {
      const [, whole] = framing(bounds);
      camera.zoom = Math.max(whole - 1.5, Math.min(whole + DEEPEST, Array.isArray(zoom) ? zoom[0] : zoom));
      camera.target = [clamp(target[0], bounds.left, bounds.right), clamp(target[1], bounds.bottom, bounds.top)];
    },
    /** Convert a position of the plane to pixels from left and top. */
    toScreen(x, y) {
      const [width, height] = size();
      return [
        width / 2 + (x - camera.target[0]) * camera.scale(),
        height / 2 - (y - camera.target[1]) * camera.scale(),
      ];
    },
    toPlane(left, top) {
      const [width, height] = size();
      return [
        camera.target[0] + (left - width / 2) / camera.scale(),
        camera.target[1] - (top - height / 2) / camera.scale(),
      ];
    },
    /** Return the visible box of the plane, with a margin in pixels. */
    box(margin = 0) {
      const [width, height] = size();
      const [[left, top], [right, bottom]] = [
        camera.toPlane(-margin, -margin),
        camera.toPlane(width + margin, height + margin),
      ];
      return { left, right, bottom, top };
    },
    /** Return the diameter of a point in pixels: larger for few points, and slightly larger at higher zoom. */
    pointSize(count) {
      const [width, height] = size();
      const [, whole] = framing(bounds);
      const base = clamp(Math.sqrt((width * height) / count) * 0.2, 1.6, 6);
      return clamp(base * 2 ** ((camera.zoom - whole) * 0.35), 1.5, 11);
    },
  };
  camera.set(...framing(bounds));
  return camera;
}

function clamp(value, least, most) {
  return Math.max(least, Math.min(most, value));
}
