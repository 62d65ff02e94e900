/** Which view an address means, and how to get there. Views import this; it imports none of them. */

let show = () => {};
const last = new Map(); // path → the address that the view was left at

/** Told once by app.js how to show an address. */
export function onNavigate(shown) {
  show = shown;
  window.addEventListener("popstate", () => show(location));
}

/** Go to an address of this page, `/map?name=look`. With `replace` the address before is not gone back to. */
export function navigate(address, { replace = false } = {}) {
  setAddress(address, { replace });
  show(location);
}

/** Let the address bar say what is shown already. */
export function setAddress(address, { replace = false } = {}) {
  const to = new URL(address, location.href);
  if (to.href !== location.href) history[replace ? "replaceState" : "pushState"](null, "", to);
  remember();
}

/** Keep where a view is, for the way back to it by the navigation. */
export function remember() {
  last.set(location.pathname, location.pathname + location.search);
}

/** Where a view was left, or its plain address. */
export function lastAddress(path) {
  return last.get(path) ?? path;
}
