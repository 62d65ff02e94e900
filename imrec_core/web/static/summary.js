/** The line above the hits: how many there are, and in which order. */

import { counted } from "./dom.js";
import { wordsOfOrder } from "./order.js";
import { isOfBest, REACH } from "./state.js";

/** Return the number of places of the grid for an answer; `end` is that of the hits that have arrived. */
export function sizeOf({ total, more, features }, end, deepest) {
  if (total === null) return end + (more ? 1 : 0); // one place, whose page shows how many follow
  return features.length ? Math.min(total, deepest) : total;
}

/** Summarise the number of hits, and how they are ordered. */
export function summaryOf(answer, search, { size, columns }) {
  const { total, features, reached } = answer;
  const order = search.order_by ? `, ${wordsOfOrder(search.order_by, columns)}` : "";
  if (isOfBest(search)) {
    const best = reached < REACH ? counted(reached, "hit") : `The ${REACH} best hits`;
    return best + (search.diversify ? ", chosen to differ" : "") + order;
  }
  if (!features.length) return counted(total, "picture") + order;
  if (!size) return "No hits";
  if (total === null && answer.more) return `Nearest first, ${counted(size - 1, "hit")} so far`;
  if (total === null) return `${counted(size, "hit")}, nearest first`;
  if (size < total) return `Nearest first, the first ${size.toLocaleString("en")} of ${counted(total, "picture")}`;
  return `Nearest first, of ${counted(total, "picture")}`;
}
