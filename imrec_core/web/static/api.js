/** Requests to the server. Errors are thrown as `ApiError`, with a message for the user. */

const TRIES = 5; // of a request that gets a 503

/**
 * An error response: `status` is that of HTTP (0 without a response), `kind` the name of the error, `filter` what is
 * wrong with a filter.
 */
export class ApiError extends Error {
  constructor(words, status, kind, filter = null) {
    super(words);
    this.status = status;
    this.kind = kind;
    this.filter = filter;
  }
}

/** Send a GET request, and return the parsed JSON. Omits null and empty parameters, repeats those with a list. */
export function get(path, parameters = {}, options = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") query.append(name, one);
  }
  return ask(query.size ? `${path}?${query}` : path, {}, options);
}

/** Send a POST request, and return the parsed JSON. The body is data for JSON, or a FormData with files. */
export function post(path, body, options = {}) {
  const headers = { "X-Imrec": "1" };
  if (body instanceof FormData) return ask(path, { method: "POST", headers, body }, options);
  headers["Content-Type"] = "application/json";
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) }, options);
}

/** Send a request; `signal` aborts it. After a 503 call `onBusy(seconds)`, and retry after that time. */
async function ask(address, request, { signal, onBusy = () => {} } = {}) {
  for (let tried = 1; ; tried++) {
    const answer = await fetched(address, { ...request, signal });
    if (answer.ok) return answer.json();
    if (answer.status !== 503 || tried === TRIES) throw await refusal(answer);
    const seconds = Math.min(Number(answer.headers.get("Retry-After")) || 1, 5);
    onBusy(seconds);
    await pause(seconds * 1000, signal);
  }
}

async function fetched(address, request) {
  try {
    return await fetch(address, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Is “imrec serve” still running?", 0, "NoAnswer");
  }
}

async function refusal(answer) {
  const said = await answer.json().catch(() => ({}));
  const words = said.error ?? `The server answered ${answer.status} ${answer.statusText}`.trim();
  return new ApiError(words, answer.status, said.kind ?? "", said.filter);
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

/** Test whether a request was aborted because a newer one replaced it. */
export function isOvertaken(error) {
  return error?.name === "AbortError";
}

let declared = null;

/** Return the features, mixes and columns of the lake, cached; `refresh` reloads them, after a new generation. */
export function features({ refresh = false } = {}) {
  if (!declared || refresh) {
    declared = get("/api/features");
    declared.catch(() => (declared = null));
  }
  return declared;
}

/** Return the URL of the thumbnail of an image; `size` is its longer side, 160, 320 or 640 pixels. */
export function thumbnail(imageId, size = 320) {
  return `/thumb/${imageId}?size=${size}`;
}
