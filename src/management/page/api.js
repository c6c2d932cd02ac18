// Talks to the HTTP API. Owns the session: a token that the broker gives for a login, kept for this tab only. The
// password is sent once and kept nowhere. A token is sent by this code alone, never by the browser by itself, so no other
// site can act with it.

const TOKEN = "ledgermq-session";

/** What the broker answered when it did not do what was asked. */
export class ApiError extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

/** Whether there is a session. */
export const hasSession = () => sessionStorage.getItem(TOKEN) !== null;

/** Begins a session. */
export async function logIn(username, password) {
  const answer = await request("POST", "session", { username, password });
  sessionStorage.setItem(TOKEN, answer.token);
}

/** Ends the session, here and in the broker. */
export async function logOut() {
  const ended = request("DELETE", "session").catch(() => {});
  sessionStorage.removeItem(TOKEN);
  await ended;
}

export const get = (path) => request("GET", path);
export const put = (path, body) => request("PUT", path, body);
export const post = (path, body) => request("POST", path, body);
export const remove = (path, headers) => request("DELETE", path, undefined, headers);

/** Joins names to a path; each becomes one segment, whatever it holds. */
export const path = (...names) => names.map((name) => encodeURIComponent(name)).join("/");

async function request(method, path, body, extra = {}) {
  const headers = { ...extra };
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    // Without credentials a refusal does not make the browser ask for a password of its own.
    response = await fetch(`api/${path}`, {
      method,
      headers,
      credentials: "omit",
      cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, "The broker does not answer.");
  }
  const text = await response.text();
  const answer = parsed(text);
  if (response.ok) return answer;
  if (response.status === 401 && path !== "session") sessionStorage.removeItem(TOKEN);
  throw new ApiError(response.status, answer?.reason ?? answer?.error ?? response.statusText);
}

function parsed(text) {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return null;
  }
}
