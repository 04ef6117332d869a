// The page of the tests: it notes all that a PushClient tells it. The query `options` is JSON for the client.
import { PushClient } from "/client.js";

window.noted = [];
const note = (kind, said) => window.noted.push([kind, said]);
const ask = async (path) => {
  const answer = await fetch(path, { cache: "no-store" }); // or the browser lets a request wait for an equal one
  if (answer.status === 401) return null;
  if (!answer.ok) throw new Error(`${path} is ${answer.status}`);
  return answer.json();
};
window.follow = (options) => {
  const push = new PushClient({
    types: ["step"],
    session: async () => {
      note("session", "");
      const found = await ask("/my/token");
      if (!found) return null;
      const { token, ...session } = found;
      const opened = await fetch("/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
      if (!opened.ok) throw new Error(`/session is ${opened.status}`);
      return session;
    },
    load: async () => note("load", await ask("/my/state")),
    apply: (event) => note("apply", event.data),
    status: (status) => note("status", status),
    userChanged: (user) => note("user", user),
    ...options,
  });
  push.addEventListener("step", (event) => note("event", event.data));
  for (const type of ["stream.gap", "stream.close"])
    push.addEventListener(type, (event) => note(type, JSON.parse(event.data).reason));
  return (window.push = push);
};
window.follow(JSON.parse(new URLSearchParams(location.search).get("options") ?? "{}"));
