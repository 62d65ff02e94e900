/** The camera of the map, which maps positions of the plane to the screen. */

const DEEPEST = 14; // maximum zoom, in doublings from the whole map
const SPOT = 80; // pixels around a spot, within which points are at it
const OUTER = 0.3; // share of a side of the screen on each side of its middle part

/** Create the camera of an element that shows points within `bounds`. */
export function cameraOn(parent, bounds) {
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
    size,
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

/**
 * Keep points in view while the map is zoomed in at a spot of the screen [left, top].
 *
 * Where points are near the spot, the view has points anyway. Where there are none, the view moves by as little as
 * brings the point nearest to the spot into its middle part.
 */
export function keepInView(camera, points, spot) {
  const [x, y] = camera.toPlane(...spot);
  if (points.nearest(x, y, SPOT / camera.scale()) >= 0) return;
  const margins = camera.size().map((side) => side * OUTER);
  const [left, top] = camera.toPlane(...margins);
  const [right, bottom] = camera.toPlane(...margins.map((margin, i) => camera.size()[i] - margin));
  if (points.inBox({ left, right, bottom, top }, 0) === null) return;
  let radius = SPOT / camera.scale();
  let nearest = -1;
  while (nearest < 0) nearest = points.nearest(x, y, (radius *= 2));
  const beyond = (value, least, most) => value - clamp(value, least, most);
  const across = beyond(points.x[nearest], left, right);
  const up = beyond(points.y[nearest], bottom, top);
  camera.set([camera.target[0] + across, camera.target[1] + up], camera.zoom);
}

/** Test whether any point is in view. */
export function hasPoints(camera, points) {
  return points.inBox(camera.box(), 0) === null;
}

/** Test whether all points are in view. */
export function showsAll(camera, { bounds }) {
  const box = camera.box();
  return box.left <= bounds.left && box.right >= bounds.right && box.bottom <= bounds.bottom && box.top >= bounds.top;
}
