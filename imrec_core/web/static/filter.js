/** The filter box with its list of columns, and the further options of a search. */

import { element, fill } from "./dom.js";
import { parseFilter } from "./facet_sql.js";

const NUMBERS = /INT|DOUBLE|FLOAT|DECIMAL|REAL/i;
const TIMES = /DATE|TIME/i;

/**
 * Create the box, behind "Write SQL"; calls `onChange(where)` when the user enters a filter, `onNames(words)` to search
 * names instead, and `onMended()` when the filter has no error any more.
 */
export function makeFilter(columns, onChange, { onNames, onMended }) {
  const box = element("input", {
    id: "where", type: "text", list: "where-examples", placeholder: exampleOf(columns),
    autocomplete: "off", autocapitalize: "off", spellcheck: "false",
    "aria-describedby": "where-error", "aria-keyshortcuts": "/",
    onchange: () => onChange(box.value.trim()),
    onkeydown: (event) => event.key === "Enter" && onChange(box.value.trim()),
  });
  const error = element("div", { id: "where-error", class: "error small", "aria-live": "polite", hidden: true });
  const put = (text) => {
    const isWhole = box.value.trim() && !/(\(|\b(and|or|not))\s*$/i.test(box.value);
    const joined = isWhole ? `${box.value.trim()} AND ${text}` : box.value + text;
    box.value = joined;
    box.focus();
    box.setSelectionRange(joined.length, joined.length);
  };
  const listed = columns.map((column) => columnEntry(column, put, () => onChange(box.value.trim())));
  const root = element(
    "details",
    { class: "filter more" },
    element("summary", {}, "Write SQL", element("kbd", {}, "/")),
    element("label", { for: "where", class: "title" }, "Filter"),
    box,
    element(
      "datalist",
      { id: "where-examples" },
      ...columns.flatMap(examples).map((value) => element("option", { value })),
    ),
    error,
    element("details", { class: "more columns" }, element("summary", {}, "Columns"), ...listed),
  );
  return {
    root,
    box,
    show(where) {
      if (document.activeElement !== box || !where) box.value = where;
      if (parseFilter(where).other) root.open = true;
    },
    /** Open what hides the box, and move the focus to it. */
    reach() {
      for (let node = root; node; node = node.parentElement?.closest("details")) node.open = true;
      box.focus();
    },
    /** Show an error of the filter beside the box; an empty text removes it. */
    fail(failure) {
      error.hidden = !failure;
      fill(error, ...(failure ? wordsOf(failure, box.value.trim(), onNames) : []));
      root.open ||= Boolean(failure);
      if (failure) box.setAttribute("aria-invalid", "true");
      else box.removeAttribute("aria-invalid");
      if (!failure) onMended();
    },
  };
}

/** Word an error: the problem, a search of names in place of plain words, and the message of DuckDB. */
function wordsOf({ message, filter }, where, onNames) {
  const { field = "where", problem = message, details = "" } = filter ?? {};
  const sentence = problem[0].toUpperCase() + problem.slice(1);
  const isWords = field === "where" && /^[\p{L}\p{N}_\s.-]+$/u.test(where);
  const act = () => onNames(where);
  return [
    element("p", {}, field === "order_by" ? `Order by: ${problem}` : sentence),
    isWords ? element("button", { type: "button", class: "small", onclick: act }, `Find names with “${where}”`) : null,
    details && details !== problem
      ? element("details", {}, element("summary", {}, "Details"), element("p", {}, details))
      : null,
  ];
}

/** Create the entry of a column: a button that inserts its name, and buttons that add conditions on common values. */
function columnEntry({ name, type, values = [] }, put, apply) {
  const column = element(
    "button",
    {
      type: "button",
      class: "quiet small column",
      title: `Insert ${name} into the filter`,
      onclick: () => put(`${quoted(name)} `),
    },
    name,
  );
  const conditions = values.slice(0, 8).map((value) => {
    const test = testOf(name, type, value);
    const act = () => (put(test), apply());
    return element(
      "button",
      { type: "button", class: "chip small", title: test, onclick: act },
      String(value),
    );
  });
  return element(
    "div",
    { class: "described" },
    column,
    element("span", { class: "soft small" }, type.toLowerCase()),
    element("div", { class: "chips" }, ...conditions),
  );
}

function examples({ name, type, values = [] }) {
  if (values.length) return values.slice(0, 5).map((value) => testOf(name, type, value));
  if (NUMBERS.test(type)) return [`${quoted(name)} >= `];
  return TIMES.test(type) ? [`${quoted(name)} >= '2024-01-01'`] : [];
}

/** Return the condition that a column has a value, or that a list has it. */
function testOf(name, type, value) {
  return type.endsWith("[]") ? `${literal(value)} IN ${quoted(name)}` : `${quoted(name)} = ${literal(value)}`;
}

function exampleOf(columns) {
  return columns.some(({ name }) => name === "width") ? "such as width >= 800" : "SQL over the columns";
}

/** Quote a column name for SQL if it needs quotes. */
export function quoted(name) {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

export function literal(value) {
  return typeof value === "number" ? String(value) : `'${String(value).replaceAll("'", "''")}'`;
}

const RATES = [0.1, 0.03, 0.01, 0.001, 0.0001]; // false match rates to choose from
const CHOICES = {
  pool: ["Near to which likes", { mean: "their mean", best: "any of them", all: "each of them" }],
  fuse: ["Several features", { score: "mean of scores", rrf: "by ranks", dbsf: "by mean ± 3σ" }],
};

/** Create the further options; calls `onChange({name: value})` for each change. */
export function makeOptions(columns, onChange) {
  const selects = Object.entries(CHOICES).map(([name, [label, values]]) => {
    const options = Object.entries(values).map(([value, words]) => element("option", { value }, words));
    return field(
      name,
      label,
      element("select", { id: name, onchange: (event) => onChange({ [name]: event.target.value }) }, ...options),
    );
  });
  const order = element("input", {
    id: "order_by", type: "text", list: "orders", placeholder: "best first", autocomplete: "off", spellcheck: "false",
    onchange: (event) => onChange({ order_by: event.target.value.trim() }),
  });
  const orders = columns.flatMap(({ name }) => [quoted(name), `${quoted(name)} DESC`]);
  const diversify = element("input", {
    id: "diversify", type: "range", min: 0, max: 1, step: 0.05,
    onchange: (event) => onChange({ diversify: event.target.valueAsNumber }),
  });
  const rate = element(
    "select",
    {
      id: "rate",
      onchange: (event) => onChange({ max_false_match_rate: event.target.value ? Number(event.target.value) : null }),
    },
    element("option", { value: "" }, "no limit"),
    ...RATES.map((value) => element("option", { value }, `at most 1 in ${Math.round(1 / value).toLocaleString("en")}`)),
  );
  const [distinct, withSelf] = [["distinct", "content"], ["with_self", "yes"]].map(([id, value]) => element("input", {
    id, type: "checkbox", onchange: (event) => onChange({ [id]: event.target.checked ? value : "" }),
  }));
  const root = element(
    "details",
    { class: "more options" },
    element("summary", {}, "More options"),
    element("label", { class: "check", for: "distinct" }, distinct, "Each picture once, without copies"),
    element("label", { class: "check", for: "with_self" }, withSelf, "Also the query itself and files equal to it"),
    field("rate", "False matches", rate),
    field("diversify", "Differ from one another", diversify),
    ...selects,
    field("order_by", "Order by", order),
    element("datalist", { id: "orders" }, ...orders.map((value) => element("option", { value }))),
  );
  return {
    root,
    show(search) {
      for (const name of Object.keys(CHOICES)) root.querySelector(`#${name}`).value = search[name];
      if (document.activeElement !== order) order.value = search.order_by;
      diversify.value = search.diversify;
      distinct.checked = search.distinct === "content";
      withSelf.checked = Boolean(search.with_self);
      const value = search.max_false_match_rate === null ? "" : String(search.max_false_match_rate);
      const isOffered = [...rate.options].some((option) => option.value === value);
      if (!isOffered) rate.append(element("option", { value }, value));
      rate.value = value;
    },
  };
}

function field(id, label, control) {
  return element("div", { class: "field" }, element("label", { for: id }, label), control);
}
