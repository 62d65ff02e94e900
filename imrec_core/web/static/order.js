/** The choice of an order of the pictures. It writes the SQL of `order_by`. */

import { element, fill } from "./dom.js";

const NUMBERS = /INT|DOUBLE|FLOAT|DECIMAL|REAL/i;
const TIMES = /DATE|TIME/i;
const RANDOM = /^hash\(image_id \|\| '(\d+)'\)$/;
const SHUFFLED = "random"; // value of the option that makes a seed
const [FILE_TIME, TAKEN] = ["mtime_ns", "coalesce(epoch(taken), mtime_ns / 1e9)"]; // where a picture has no date taken
const NAME = "lower(right(path, strpos(reverse('/' || path), '/') - 1))"; // the last part of the path
const COVERED = ["row", "mtime_ns", "taken", "width", "height", "orientation", "sharpness"]; // not listed as columns

/** Return [{sql, label, words}] of the orders that a lake has the columns for; `words` end a count of pictures. */
export function ordersOf(columns) {
  const has = (name) => columns.some((column) => column.name === name);
  const time = has("taken") ? TAKEN : FILE_TIME;
  const orders = [
    { sql: `${time} DESC`, label: "Newest", words: "newest first" },
    { sql: time, label: "Oldest", words: "oldest first" },
    { sql: `${NAME}, path`, label: "Name", words: "by name" },
    { sql: "source, path", label: "Folder", words: "by folder" },
    { sql: "width::BIGINT * height DESC", label: "Largest", words: "largest first" },
  ];
  if (has("sharpness")) orders.push({ sql: "sharpness DESC NULLS LAST", label: "Sharpest", words: "sharpest first" });
  return orders;
}

/** Return the orders by further columns, each both ways. */
function columnOrders(columns) {
  const isOrdered = ({ name, type }) =>
    (NUMBERS.test(type) || TIMES.test(type)) && !type.endsWith("[]") && !COVERED.includes(name);
  return columns.filter(isOrdered).flatMap(({ name }) => {
    const [column, plain] = [quoted(name), name.replaceAll("_", " ")];
    return [
      { sql: `${column} DESC NULLS LAST`, label: `${plain}, highest`, words: `highest ${plain} first` },
      { sql: `${column} NULLS LAST`, label: `${plain}, lowest`, words: `lowest ${plain} first` },
    ];
  });
}

/** Return the words for an order, which end a count of pictures: `newest first`. */
export function wordsOfOrder(sql, columns) {
  const known = [...ordersOf(columns), ...columnOrders(columns)].find((order) => order.sql === sql);
  const seed = RANDOM.exec(sql)?.[1];
  return known?.words ?? (seed ? `in random order ${seed}` : `ordered by ${sql}`);
}

/** Create the choice; calls `onChange(sql)`, with an empty text for the order by nearness or of the lake. */
export function makeOrder(columns, onChange) {
  const first = element("option", { value: "" });
  const random = element("option", { value: SHUFFLED }, "Random");
  const own = element("option", { hidden: true });
  const listed = ({ sql, label }) => element("option", { value: sql }, label);
  const further = columnOrders(columns).map(listed);
  const select = element(
    "select",
    { id: "order", onchange: () => onChange(select.value === SHUFFLED ? shuffled() : select.value) },
    first,
    ...ordersOf(columns).map(listed),
    random,
    own,
    further.length ? element("optgroup", { label: "By a column" }, ...further) : null,
  );
  const shuffle = () => onChange(shuffled());
  const again = element(
    "button",
    { type: "button", class: "quiet", id: "shuffle", title: "Another random order", onclick: shuffle },
    "Shuffle",
  );
  const root = element("div", { class: "order" }, element("label", { for: "order" }, "Order"), select, again);
  return {
    root,
    /** Show the order of a search. */
    show({ like, unlike, order_by: sql }) {
      const seed = RANDOM.exec(sql)?.[1];
      fill(first, like.length + unlike.length ? "Nearest" : "As in the lake");
      again.hidden = !seed;
      own.hidden = true;
      if (seed) select.value = SHUFFLED;
      else select.value = sql;
      if (select.selectedIndex >= 0) return;
      own.hidden = false;
      own.value = sql;
      fill(own, `Own: ${sql.length > 24 ? `${sql.slice(0, 24)}…` : sql}`);
      select.value = sql;
    },
  };
}

/** Return a random order with a seed, so that pages, Back and the address have the same. */
function shuffled() {
  return `hash(image_id || '${1000 + Math.floor(Math.random() * 9000)}')`;
}

function quoted(name) {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}
