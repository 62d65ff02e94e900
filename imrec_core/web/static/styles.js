/** Style sheets of views, loaded with their view. */

const loaded = new Map();

/** Load a sheet, and resolve when it applies: `await styles("/static/map.css")`. */
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
    link.onerror = resolve; // show the view without its styles
  });
  document.head.append(link);
  return arrived;
}
