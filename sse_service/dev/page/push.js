// Follows one user's event stream and keeps the page's state correct. Copy this file into your own page.
//
// url                URL of the stream, complete if it is on another origin: https://push.example.com/events
// types              names of the events to receive: an EventSource ignores named events that have no listener
// session()          sends a token of your back end to POST /session; returns {user, expires_in}, or null if signed out
// load()             fetches the state from your back end and shows it
// apply(event)       shows one event; events may come repeatedly and in any order, as queues deliver at least once
// status(text)       is called with "connecting", "live", "reconnecting" or "stopped"
// userChanged(user)  is called when the session, which all windows share, has another user; null if signed out
export function follow({ url = "/events", types, session, load, apply, status, userChanged }) {
  let source, user, held, loading = Promise.resolve(), lastId = "", turn = 0, failures = 0, ended = false;
  const timers = {};
  const later = (name, ms, task) => (clearTimeout(timers[name]), (timers[name] = setTimeout(task, ms)));
  const backoff = () => Math.min(30_000, 500 * 2 ** failures++) * (0.5 + Math.random() / 2);
  const deliver = (event) => (held ? held.push(event) : apply(event));

  function stop() {
    ended = true;
    source?.close();
    Object.values(timers).forEach(clearTimeout);
    status("stopped");
  }
  async function renew() {
    const answer = await session();
    if (!ended && answer?.user !== (user ??= answer?.user ?? null)) return stop(), userChanged(answer?.user ?? null);
    if (!ended) later("renew", Math.min((answer.expires_in || 300) * 800, 2 ** 31 - 1), () => renew().catch(console.error));
  }
  async function open() {
    if (!(await renew().then(() => !ended, (error) => (console.error(error), reopen())))) return;
    source?.close();
    // withCredentials: send the cookie to another origin of the same site. SSE_CORS_ORIGINS must name this page's.
    source = new EventSource(lastId ? `${url}?lastEventId=${encodeURIComponent(lastId)}` : url, { withCredentials: true });
    // An EventSource reconnects by itself, except after an answer that is not 200: then it stays CLOSED.
    source.onerror = () => (source.readyState === EventSource.CLOSED ? reopen() : status("reconnecting"));
    for (const type of [...types, ...Object.keys(service)]) {
      source.addEventListener(type, (event) => {
        lastId = event.lastEventId || lastId;
        (service[type] ?? deliver)(event);
      });
    }
  }
  function reopen() {
    if (ended) return;
    source?.close();
    status("reconnecting");
    later("open", backoff(), open);
  }
  const service = {
    "stream.ready"(event) {
      const ready = JSON.parse(event.data);
      if (ready.user !== user) return stop(), userChanged(ready.user);
      failures = 0;
      status("live");
      if (!ready.resumed) refresh();
    },
    "stream.gap": () => refresh(),
    "stream.cursor": () => {},
    "stream.close": (event) => JSON.parse(event.data).reconnect || reopen(),
  };
  // A ready and a gap that come together need only one fetch. A gap during a fetch makes its answer outdated.
  function refresh(delay = 50) {
    held ??= [];
    const mine = ++turn;
    later("load", delay, async () => {
      try {
        // Fetch one after the other. An older answer must not overwrite a newer one.
        await (loading = loading.then(load, load));
      } catch (error) {
        return console.error(error), mine === turn && !ended && refresh(backoff());
      }
      if (mine !== turn || ended) return;
      const events = held;
      held = null;
      events.forEach(apply);
    });
  }
  status("connecting");
  open();
  return { stop, reopen: () => later("open", 0, open) };
}
