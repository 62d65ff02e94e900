/**
 * The layer of the points, for deck.gl.
 *
 * deck's ScatterplotLayer draws two triangles for each point. Without a graphics card (2 busy cores, SwiftShader), a
 * frame of 500,000 points takes 12 s, of 100,000 1.1 s. With WebGL's point primitive it takes 0.47 s and 0.17 s
 * (2026-11).
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

let library = null;

/** Load deck.gl, which is large, when a map is opened. */
export function loadDeck() {
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

/** Return the class of the layer. Its props are `positions`, `rgba`, `count` and the `size` of a point in pixels. */
export function pointsLayer(deck) {
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
