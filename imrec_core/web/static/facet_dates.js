/** The facet of dates: a histogram, of which a range is chosen by mouse, by touch or with two handles. */

import { chipOf } from "./facet_chips.js";
import { counted, drawing, element, fill } from "./dom.js";

const [WIDE, TALL] = [270, 56]; // of the drawing, which is scaled to the panel
const FORMATS = {
  year: { year: "numeric" },
  month: { year: "numeric", month: "short" },
  day: { year: "numeric", month: "short", day: "numeric" },
};

/** Create the histogram; calls `onChoose(conditions)`, and `onZoom({first, last})` or `onZoom(null)`. */
export function makeDates(onChoose, onZoom) {
  const bars = drawing("svg", {
    class: "date-bars", viewBox: `0 0 ${WIDE} ${TALL}`, preserveAspectRatio: "none", role: "img",
  });
  const state = { dates: null, chosen: [], span: null, from: 0, until: 0 };
  const handles = { from: handle("From", "from"), until: handle("Until", "until") };
  const said = element("p", { class: "small said-dates" });
  const chips = element("div", { class: "chips" });
  const zoom = element("button", { type: "button", class: "quiet small", onclick: zoomed });

  function handle(label, name) {
    const input = element("input", {
      type: "range", min: 0, step: 1, "aria-label": label,
      oninput: () => (moved(name, input.valueAsNumber), show()),
      onchange: () => choose(),
    });
    return input;
  }

  function moved(name, at) {
    state[name] = at;
    if (state.from >= state.until) {
      if (name === "from") state.from = state.until - 1;
      else state.until = state.from + 1;
    }
  }

  /** Write the range into the filter; the whole range is none. */
  function choose() {
    const { bins } = state.dates;
    if (state.from === 0 && state.until === bins.length && !state.span) return onChoose([]);
    onChoose([`taken >= '${bins[state.from].start}'`, `taken < '${bins[state.until - 1].end}'`]);
  }

  function zoomed() {
    if (state.span) return onZoom(null);
    const { bins } = state.dates;
    onZoom({ first: bins[state.from].start, last: dayBefore(bins[state.until - 1].end) });
  }

  /** Set the range to the bins that the chosen conditions name. */
  function follow() {
    const { bins } = state.dates;
    const [start, end] = ["taken >= '", "taken < '"].map(
      (head) => state.chosen.find((condition) => condition.startsWith(head))?.slice(head.length, -1),
    );
    const first = start ? bins.findIndex((bin) => bin.end > start) : 0;
    const last = end ? bins.findLastIndex((bin) => bin.start < end) : bins.length - 1;
    state.from = first < 0 ? bins.length - 1 : first;
    state.until = Math.max(last, state.from) + 1;
    show();
  }

  function show() {
    const { bins, unit, missing } = state.dates;
    const { from, until } = state;
    const isNull = state.chosen.includes(missing.where);
    [...bars.children].forEach((bar, at) => bar.classList.toggle("in", !isNull && at >= from && at < until));
    for (const name of ["from", "until"]) {
      handles[name].max = bins.length;
      handles[name].value = state[name];
      const at = name === "from" ? Math.min(from, bins.length - 1) : until - 1;
      handles[name].setAttribute("aria-valuetext", worded(bins[at].start, unit));
    }
    const images = bins.slice(from, until).reduce((sum, bin) => sum + bin.images, 0);
    fill(said, `${rangeOf(bins, from, until, unit)}: ${counted(images, "picture")}`);
    zoom.hidden = !state.span && (unit === "day" || (from === 0 && until === bins.length));
    fill(zoom, state.span ? "All dates" : "Zoom in");
    const toggle = () => onChoose(isNull ? [] : [missing.where]);
    fill(chips, missing.images || isNull ? chipOf(missing, isNull, toggle) : null, zoom);
  }

  function draw(dates) {
    const most = Math.max(1, ...dates.bins.map(({ images }) => images));
    const step = WIDE / dates.bins.length;
    fill(bars, ...dates.bins.map(({ start, images }, at) => {
      const height = images ? Math.max(2, (images / most) * TALL) : 0;
      const place = { x: at * step, y: TALL - height, width: Math.max(step - 1, step * 0.7), height };
      const title = `${worded(start, dates.unit)}: ${counted(images, "picture")}`;
      return drawing("rect", place, drawing("title", {}, title));
    }));
    const all = rangeOf(dates.bins, 0, dates.bins.length, dates.unit);
    bars.setAttribute("aria-label", `Pictures by ${dates.unit}, ${all}`);
  }

  brush(bars, {
    place: (share) => Math.min(Math.floor(share * state.dates.bins.length), state.dates.bins.length - 1),
    move: (first, last) => (Object.assign(state, { from: first, until: last + 1 }), show()),
    end: choose,
    cancel: () => follow(),
  });
  return {
    root: element(
      "div",
      { class: "dates" },
      bars,
      element("div", { class: "handles" }, handles.from, handles.until),
      said,
      chips,
    ),
    draw(dates, chosen, { span }) {
      Object.assign(state, { dates, chosen, span });
      draw(dates);
      follow();
    },
    mark(chosen) {
      state.chosen = chosen;
      if (state.dates?.bins.length) follow();
    },
  };
}

/** Report the bins between which a pointer is dragged. */
function brush(node, { place, move, end, cancel }) {
  let start = null;
  const at = (event) => {
    const box = node.getBoundingClientRect();
    return place(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1));
  };
  const drag = (event) => {
    const now = at(event);
    move(Math.min(start, now), Math.max(start, now));
  };
  node.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    start = at(event);
    node.setPointerCapture(event.pointerId);
    drag(event);
  });
  node.addEventListener("pointermove", (event) => start !== null && drag(event));
  node.addEventListener("pointerup", () => {
    if (start === null) return;
    start = null;
    end();
  });
  node.addEventListener("pointercancel", () => {
    if (start !== null) cancel();
    start = null;
  });
}

function rangeOf(bins, from, until, unit) {
  const [first, last] = [bins[from].start, bins[until - 1].start].map((day) => worded(day, unit));
  return first === last ? first : `${first} to ${last}`;
}

/** Format a day by the unit of the bars: `Mar 2024`. */
function worded(day, unit) {
  return new Date(`${day}T00:00:00Z`).toLocaleDateString("en", { ...FORMATS[unit], timeZone: "UTC" });
}

function dayBefore(day) {
  return new Date(Date.parse(`${day}T00:00:00Z`) - 86_400_000).toISOString().slice(0, 10);
}
