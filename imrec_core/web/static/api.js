/** Requests to the server. What goes wrong comes out as an `ApiError` in words that can be shown as they are. */

const TRIES = 5; // of a request that the server is too busy for

/** A refusal: `status` as in HTTP (0: no answer at all), `kind` the class of the error. */
export class ApiError extends Error {
  constructor(words, status, kind) {
    super(words);
    this.status = status;
    this.kind = kind;
  }
}

/** What GET answers, as data. Parameters that are null or empty are left out; a list is given once per value. */
export function get(path, parameters = {}, options = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") query.append(name, one);
  }
  return ask(query.size ? `${path}?${query}` : path, {}, options);
}

/** What POST answers, as data. The body is data for JSON, or a FormData with files. */
export function post(path, body, options = {}) {
  const headers = { "X-Imrec": "1" };
  if (body instanceof FormData) return ask(path, { method: "POST", headers, body }, options);
  headers["Content-Type"] = "application/json";
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) }, options);
}

/** `signal` aborts it; `onBusy(seconds)` hears that the server is busy and is asked again after that time. */
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
  return new ApiError(words, answer.status, said.kind ?? "");
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

/** Whether a request only ended because a newer one took its place. */
export function isOvertaken(error) {
  return error?.name === "AbortError";
}

let declared = null;

/** What the lake offers, asked once; `anew` asks again, for after a new generation. */
export function features({ anew = false } = {}) {
  if (!declared || anew) {
    declared = get("/api/features");
    declared.catch(() => (declared = null));
  }
  return declared;
}

/** Where the thumbnail of an image is; 160, 320 or 640 pixels of the longer side. */
export function thumbnail(imageId, size = 320) {
  return `/thumb/${imageId}?size=${size}`;
}
