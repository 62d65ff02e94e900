/**
 * Facets as SQL: which conditions of a filter facets have written, and the filter of a choice.
 *
 * A filter is conditions joined by AND. Those that facets write themselves are recognised by their exact form; all
 * others stay as they are, beside them.
 */

const TEXT = "'(?:[^']|'')*'";
const DAY = "'\\d{4}-\\d\\d-\\d\\d'";

/** Forms of the conditions that facets write, by facet; the order is that in a filter. */
const FORMS = {
  folder: [`source = ${TEXT}`, `starts_with\\(path, ${TEXT}\\)`],
  taken: [`taken >= ${DAY}`, `taken < ${DAY}`, "taken IS NULL"],
  camera: [`camera = ${TEXT}`, "camera IS NULL"],
  size: ["width::BIGINT \\* height (?:BETWEEN \\d+ AND \\d+|< \\d+|>= \\d+)"],
  orientation: ["width [<>=] height"],
  format: [`format = ${TEXT}`, "format IS NULL"],
  colour: ["(?:NOT )?is_grey"],
  traits: ["has_alpha|frames > 1|damaged"],
};
const matcher = (form) => new RegExp(`^(?:${form})$`);
const MATCHERS = Object.entries(FORMS).map(([facet, forms]) => [facet, forms.map(matcher)]);
const JOINED = ["folder", "taken"]; // facets of conditions that hold together; the values of others are alternatives

/**
 * Parse a filter: `chosen` has the conditions of each facet, `other` the rest. `isReadable` is false for a filter with
 * comments, open quotes or open brackets, to which nothing can be added.
 */
export function parseFilter(where) {
  const whole = where.trim();
  if (!whole) return { chosen: {}, other: "", isReadable: true };
  const [parts, alternatives] = [split(whole, "AND"), split(whole, "OR")];
  if (!parts || !alternatives) return { chosen: {}, other: whole, isReadable: false };
  const chosen = {};
  const others = [];
  for (const part of alternatives.length > 1 ? [whole] : parts) {
    const found = facetOf(part, chosen);
    if (found) chosen[found.facet] = [...(chosen[found.facet] ?? []), ...found.conditions];
    else others.push(part);
  }
  return { chosen, other: others.join(" AND "), isReadable: true };
}

/** Return the facet that a condition belongs to, and its parts; undefined if it is of none, or its facet has one. */
function facetOf(condition, chosen) {
  const inner = condition.startsWith("(") && condition.endsWith(")") ? split(condition.slice(1, -1), "OR") : null;
  const conditions = inner?.length > 1 ? inner : [condition];
  for (const [facet, forms] of MATCHERS) {
    const places = conditions.map((one) => forms.findIndex((form) => form.test(one)));
    if (places.includes(-1)) continue;
    if (!JOINED.includes(facet)) return chosen[facet] ? undefined : { facet, conditions };
    const taken = (chosen[facet] ?? []).some((one) => forms[places[0]].test(one));
    return conditions.length > 1 || taken ? undefined : { facet, conditions };
  }
  return undefined;
}

/** Return the condition of the choices of one facet; empty without any. */
export function conditionOf(facet, conditions = []) {
  if (JOINED.includes(facet)) return conditions.join(" AND ");
  return conditions.length > 1 ? `(${conditions.join(" OR ")})` : conditions[0] ?? "";
}

/** Return the filter of choices and other conditions, the opposite of `parseFilter`. */
export function filterOf({ chosen, other }) {
  const isLoose = other && split(other, "OR")?.length > 1;
  const written = Object.keys(FORMS).map((facet) => conditionOf(facet, chosen[facet]));
  const all = [other, ...written].filter(Boolean);
  return [isLoose && all.length > 1 ? `(${other})` : other, ...written].filter(Boolean).join(" AND ");
}

/**
 * Split SQL at a word (AND, OR) outside of quotes, brackets, CASE and BETWEEN.
 *
 * Null if it has comments, open quotes or brackets, or syntax that this does not know, such as E'…' and $$…$$.
 */
export function split(sql, word) {
  const tokens = sql.match(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--|\/\*|[\p{L}_][\p{L}\p{N}_]*|\s+|./gsu) ?? [];
  const parts = [""];
  let depth = 0;
  let between = 0;
  for (const [at, token] of tokens.entries()) {
    const upper = token.toUpperCase();
    if (["'", '"', "--", "/*", "$", ";"].includes(token)) return null;
    if (/^[EXB]$/.test(upper) && tokens[at + 1]?.startsWith("'")) return null;
    if ("([{".includes(token) || upper === "CASE") depth += 1;
    if (")]}".includes(token) || upper === "END") depth -= 1;
    if (depth < 0) return null;
    if (depth === 0 && upper === "BETWEEN") between += 1;
    const isBetween = depth === 0 && upper === "AND" && between > 0;
    if (isBetween) between -= 1;
    if (depth === 0 && upper === word && !isBetween) parts.push("");
    else parts[parts.length - 1] += token;
  }
  const trimmed = parts.map((part) => part.trim());
  return depth === 0 && trimmed.every(Boolean) ? trimmed : null;
}
