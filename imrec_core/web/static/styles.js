/** Style sheets of single views, loaded with the view that needs them. */

const loaded = new Map();

/** Resolves once a sheet is in force: `await styles("/static/map.css")`. */
export function styles(address) {
  if (!loaded.has(address)) loaded.set(address, added(address));
  return loaded.get(address);
}

function added(address) {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = address;
  const arrived = new Promise((resolve) => {
    link.onload = resolve;
    link.onerror = resolve; // plain is better than nothing
  });
  document.head.append(link);
  return arrived;
}
