// Follows one user's event stream, so that the page always shows the true state. Made to be copied.
//
// url             of the stream; that of another origin in full, as https://push.example.com/events
// types           names of events: an EventSource hears a named event only through a listener of its own
// session()       takes a token from one's own back end to POST /session; gives {user, expires_in}, null if signed out
// load()          fetches the state from one's own back end and shows it
// apply(event)    shows one event: idempotent and in any order, as queues deliver at least once
// status(text)    "connecting", "live", "reconnecting", "stopped"
// stranger(user)  the session, which all windows share, is another user's by now; null: nobody is signed in
export function follow({ url = "/events", types, session, load, apply, status, stranger }) {
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
    if (!ended && answer?.user !== (user ??= answer?.user ?? null)) return stop(), stranger(answer?.user ?? null);
    if (!ended) later("renew", Math.min((answer.expires_in || 300) * 800, 2 ** 31 - 1), () => renew().catch(() => {}));
  }
  async function open() {
    if (!(await renew().then(() => !ended, reopen))) return;
    source?.close();
    // The cookie goes along to another origin too, of which same-site pages are let in by SSE_CORS_ORIGINS.
    source = new EventSource(lastId ? `${url}?lastEventId=${encodeURIComponent(lastId)}` : url, { withCredentials: true });
    // It reconnects by itself, except after an answer that is not 200: then it is CLOSED for good.
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
      if (ready.user !== user) return stop(), stranger(ready.user);
      failures = 0;
      status("live");
      if (!ready.resumed) refresh();
    },
    "stream.gap": () => refresh(),
    "stream.cursor": () => {},
    "stream.close": (event) => JSON.parse(event.data).reconnect || reopen(),
  };
  // One fetch serves a ready and a gap that come together; a gap during a fetch makes its answer too old.
  function refresh(delay = 50) {
    held ??= [];
    const mine = ++turn;
    later("load", delay, async () => {
      try {
        // One after the other, or the answer to an older fetch could overwrite a newer one's.
        await (loading = loading.then(load, load));
      } catch {
        return mine === turn && !ended && refresh(backoff());
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
