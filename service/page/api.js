// The service's HTTP API. Addresses are relative, so that the page works below a proxy's path too.

import { readNpy } from "./npy.js";

const KEY = "sluice-key";

/** An error of the service, in the words of its problem document. */
export class Problem extends Error {
  constructor(status, detail, field, retryAfter) {
    super(detail);
    Object.assign(this, { status, field, retryAfter });
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (text) => (text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY)),
};

export const query = (parameters) => {
  const said = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return said.length ? `?${new URLSearchParams(said)}` : "";
};

/** The answer to a request; raises Problem where the status is an error. */
export async function call(method, path, { body, headers = {}, signal, token } = {}) {
  const shown = token ?? key.get();
  const sent = shown ? { Authorization: `Bearer ${shown}`, ...headers } : headers;
  let answer;
  try {
    answer = await fetch(path, { method, body, headers: sent, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "the service cannot be reached");
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let told = {};
  try {
    told = JSON.parse(text);
  } catch {
    // A proxy may answer with something else than a problem document.
  }
  throw new Problem(answer.status, told.detail ?? `the service answered ${answer.status}`, told.field,
    answer.headers.get("Retry-After"));
}

const NPY = "application/x-npy";

export const getJson = async (path, options) => (await call("GET", path, options)).json();

export const postJson = async (path, document, options = {}) =>
  (await call("POST", path, {
    ...options,
    body: document === undefined ? undefined : JSON.stringify(document),
    headers: { "Content-Type": "application/json", Accept: "application/json" },
  })).json();

/** Sends an npy batch, gets JSON. */
export const postNpy = async (path, bytes, options = {}) =>
  (await call("POST", path, { ...options, body: bytes, headers: { "Content-Type": NPY, Accept: "application/json" } })).json();

/** Sends an npy batch or nothing, gets an array { shape, data } and the seed that made it. */
export async function fetchArray(path, bytes, options = {}) {
  const headers = bytes ? { "Content-Type": NPY, Accept: NPY } : { Accept: NPY };
  const answer = await call("POST", path, { ...options, body: bytes, headers });
  return { ...readNpy(await answer.arrayBuffer()), seed: answer.headers.get("X-Sluice-Seed") };
}

/** Server-sent events of a GET: calls on(event, document) for each. */
export async function follow(path, on, options = {}) {
  const answer = await call("GET", path, { ...options, headers: { Accept: "text/event-stream" } });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n");
      const said = (name) => lines.filter((line) => line.startsWith(name)).map((line) => line.slice(name.length).trim());
      const data = said("data:").join("\n");
      if (data) on(said("event:")[0] ?? "message", JSON.parse(data));
    }
  }
}
