/** Filters of a search by the names of files and folders, as SQL. */

/**
 * Convert words to a filter: each word is part of the path, whatever its case and accents.
 *
 * The words are string literals for `contains`, which has no wildcards: `%` and `_` stand for themselves.
 */
export function filterOfNames(names) {
  const words = names.trim().split(/\s+/).filter(Boolean);
  const literal = (word) => `'${word.replaceAll("'", "''")}'`;
  const test = (word) => `contains(strip_accents(lower(path)), strip_accents(lower(${literal(word)})))`;
  return words.map(test).join(" AND ");
}

/** Join the filter of a search with that of its names; null if it has neither. */
export function whereOf({ where, names }) {
  const byName = filterOfNames(names);
  if (!where || !byName) return where || byName || null;
  return `(${where}\n) AND ${byName}`; // on its own line, so that a comment does not hide the parenthesis
}
