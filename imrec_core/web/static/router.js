/** Navigation between URLs of the page. Views import this module; it imports none of them. */

let show = () => {};
const last = new Map(); // path → last URL of the view

/** Set the function that shows a URL; app.js calls this once. */
export function onNavigate(shown) {
  show = shown;
  window.addEventListener("popstate", () => show(location));
}

/** Go to a URL of this page, such as `/map?name=look`. With `replace`, it replaces the current history entry. */
export function navigate(address, { replace = false } = {}) {
  setAddress(address, { replace });
  show(location);
}

/** Update the address bar to what is already shown. */
export function setAddress(address, { replace = false } = {}) {
  const to = new URL(address, location.href);
  if (to.href !== location.href) history[replace ? "replaceState" : "pushState"](null, "", to);
  remember();
}

/** Remember the current URL of a view, for the links of the navigation. */
export function remember() {
  last.set(location.pathname, location.pathname + location.search);
}

/** Return the last URL of a view, by default its path. */
export function lastAddress(path) {
  return last.get(path) ?? path;
}
