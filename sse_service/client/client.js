// Follows one user's events. client.d.ts describes the options.
export class PushClient extends EventTarget {
  #options;
  #url;
  #types;
  #user = null;
  #renewAt = 0;
  #status = "";
  #started = null; // an AbortController; null while away or closed
  #connection = null; // only in the tab that holds the connection
  #group = null;
  #tabs = null;
  #cursor;
  #seen = new Set(); // digests of the newest events
  #held = null; // events that wait until load() is done
  #loading = Promise.resolve();
  #loads = 0;
  #timers = timers();
  #unload = new AbortController();

  constructor(url, options) {
    super();
    if (typeof url === "object" && !(url instanceof URL)) [url, options] = [url.url, url];
    this.#options = { transport: "auto", interval: 10_000, share: true, ...options };
    this.#url = new URL(url ?? "/events", location.href).href;
    this.#types = new Set(this.#options.types);
    this.#cursor = this.#options.lastEventId ?? "";
    // A cached page and a frozen tab must hold no stream.
    const on = (target, type, task) => target.addEventListener(type, task, { signal: this.#unload.signal });
    on(window, "pagehide", () => this.#leave());
    on(window, "pageshow", ({ persisted }) => persisted && this.#start());
    on(document, "freeze", () => this.#leave());
    on(document, "resume", () => this.#start());
    on(document, "visibilitychange", () => document.hidden || this.#wake());
    on(window, "online", () => this.#wake());
    queueMicrotask(() => this.#start()); // after the page added listeners
  }

  get lastEventId() {
    return this.#cursor;
  }
  get status() {
    return this.#status || "connecting";
  }
  get readyState() {
    return { live: 1, closed: 2 }[this.#status] ?? 0;
  }
  close() {
    this.#leave();
    this.#unload.abort();
    this.#setStatus("closed");
  }
  get #shares() {
    return this.#options.share && navigator.locks && globalThis.BroadcastChannel;
  }
  reconnect() {
    this.#leave();
    this.#start();
  }
  addEventListener(type, ...rest) {
    super.addEventListener(type, ...rest);
    if (this.#types.has(type) || /^(open|error|stream\..*)$/.test(type)) return;
    this.#types.add(type);
    if (this.#started) this.#timers.set("types", 0, () => this.reconnect()); // once for several listeners
  }

  // The life of the client

  async #start(delay) {
    if (this.#started || this.#status === "closed") return;
    const started = (this.#started = new AbortController());
    this.#setStatus(this.#status ? "reconnecting" : "connecting");
    try {
      if (!(await this.#renew())) return;
    } catch (error) {
      console.error(error);
      if (started.signal.aborted) return;
      this.#started = null;
      return this.#timers.set("start", (delay = backoff(delay)), () => this.#start(delay));
    }
    if (started.signal.aborted) return;
    if (this.#options.remember) this.#cursor ||= sessionStorage.getItem(this.#key("")) ?? "";
    if (!this.#shares) return this.#lead();
    this.#tabs = new BroadcastChannel(this.#url);
    this.#tabs.onmessage = ({ data }) => data.user !== this.#user && this.#renew().catch(console.error);
    this.#tabs.postMessage({ user: this.#user });
    this.#group = new Group(this.#key(this.#names().sort(), this.#options.transport), {
      lead: () => this.#lead(),
      follow: () => (this.#connection = this.#connection?.close()),
      joined: (cursor) => this.#joined(cursor),
      missed: () => this.#gap(),
      take: (block) => this.#take(block),
      status: (status) => this.#setStatus(status),
      report: () => ({ cursor: this.#cursor, status: this.#status }),
    });
  }
  #leave() {
    this.#timers.clear();
    if (!this.#started) return;
    this.#started.abort();
    // Events that wait for load() were not shown yet.
    if (this.#options.remember && !this.#held) sessionStorage.setItem(this.#key(""), this.#cursor);
    this.#connection = this.#connection?.close();
    this.#group = this.#group?.leave();
    this.#tabs = this.#tabs?.close();
    if (this.#held) this.#cursor = "";
    this.#started = this.#held = null;
  }
  #wake() {
    if (!this.#started) this.#start();
    this.#connection?.check();
    this.#group?.check();
  }
  #key(...parts) {
    return ["push", this.#url, this.#user, ...parts].join(" ");
  }

  // Returns whether the user is still the same.
  async #renew() {
    const started = this.#started;
    const answer = await within(60_000, (this.#options.session ?? (() => this.#whoami()))());
    if (started?.signal.aborted) return false;
    const user = answer ? String(answer.user) : null;
    if (user === null || user !== (this.#user ??= user)) return this.#changeUser(user), false;
    this.#renewAt = Date.now() + Math.min((answer.expires_in ?? 300) * 800, 2 ** 31 - 1);
    return true;
  }
  // Without session(), the service knows who it is.
  async #whoami() {
    const answer = await fetch(this.#address("/poll"), { credentials: "include" });
    if (answer.status === 401) return null;
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
    return { user: (await answer.json()).user, expires_in: Infinity };
  }
  #changeUser(user) {
    this.close();
    if (this.#shares) {
      const tabs = new BroadcastChannel(this.#url);
      tabs.postMessage({ user });
      tabs.close();
    }
    if (user !== this.#user) this.#call("userChanged", user);
  }

  // The connection, if this tab holds it

  #lead() {
    this.#connection = new Connection({
      transport: this.#options.transport,
      interval: this.#options.interval,
      types: this.#names(),
      url: (path, query) => this.#address(path, query),
      user: () => this.#user,
      renewAt: () => this.#renewAt,
      renew: () => this.#renew(),
      status: (status) => (this.#setStatus(status), this.#group?.hello()),
      // Other tabs first: taking the block may close this client.
      take: (block) => (this.#group?.send(block), this.#take(block)),
    });
    this.#connection.open();
  }
  #names() {
    return this.#types.size ? [...this.#types] : ["message"];
  }
  #address(path, query) {
    const url = new URL(this.#url);
    url.pathname = path === "/ws" ? url.pathname.replace(/events$/, "ws") : url.pathname + path;
    if (path === "/ws") url.protocol = url.protocol.replace("http", "ws");
    const all = { types: this.#names(), ...query, ...(this.#cursor && { lastEventId: this.#cursor }) };
    for (const [name, value] of Object.entries(all)) url.searchParams.set(name, value);
    return url.href;
  }

  // What comes in

  #take({ type, data, id }) {
    if (this.#status === "closed") return;
    this.#cursor = id || this.#cursor;
    if (type.startsWith("stream.")) {
      const { resumed, user } = JSON.parse(data);
      if (type === "stream.ready" && user !== this.#user) return this.#changeUser(user);
      if (type === "stream.ready" && !resumed) this.#load();
      if (type === "stream.gap") this.#load();
      return this.#tell(type, data, id);
    }
    if (this.#isNew(id)) this.#held ? this.#held.push([type, data, id]) : this.#deliver(type, data, id);
  }
  // The last field of an id identifies the event. 0 is none.
  #isNew(id) {
    const digest = id.split(".")[2] ?? "0";
    if (this.#seen.has(digest)) return false;
    if (digest !== "0") this.#seen.add(digest);
    if (this.#seen.size > 1000) this.#seen.delete(this.#seen.values().next().value);
    return true;
  }
  #deliver(type, data, id) {
    if (this.#status !== "closed") this.#call("apply", this.#tell(type, data, id));
  }
  // This tab follows a new leader, which is at the cursor.
  #joined(cursor) {
    const known = this.#cursor === cursor || this.#seen.has(cursor.split(".")[2]);
    if (cursor && !known) this.#cursor ? this.#gap() : this.#load();
    this.#cursor = cursor || this.#cursor;
  }
  #gap() {
    this.#take({ type: "stream.gap", data: '{"reason":"lost"}', id: "" });
  }
  // A ready and a gap need one load. A gap during a load outdates it.
  #load(delay = 50) {
    if (!this.#options.load) return;
    this.#held ??= [];
    const mine = ++this.#loads;
    this.#timers.set("load", delay, async () => {
      // An older answer must not overwrite a newer one.
      const load = () => this.#options.load();
      const failed = await (this.#loading = this.#loading.then(load, load)).then(() => null, (error) => [error]);
      if (failed) console.error(failed[0]);
      if (mine !== this.#loads || !this.#held) return;
      if (failed) return this.#load(backoff(delay));
      const events = this.#held;
      this.#held = null;
      events.forEach((event) => this.#deliver(...event));
    });
  }

  // What goes to the page

  #setStatus(status) {
    if (status === this.#status || this.#status === "closed") return;
    this.#status = status;
    this.#call("status", status);
    if (status === "live") this.dispatchEvent(new Event("open"));
    if (status === "reconnecting") this.dispatchEvent(new Event("error"));
  }
  #tell(type, data, lastEventId = "") {
    const event = new MessageEvent(type, { data, lastEventId, origin: new URL(this.#url).origin });
    this.dispatchEvent(event);
    return event;
  }
  #call(hook, argument) {
    try {
      this.#options[hook]?.(argument);
    } catch (error) {
      console.error(error);
    }
  }
}

// The connection to the service: opened, watched, and opened again.
class Connection {
  #host;
  #transport = null;
  #attempt = null; // an earlier attempt is not heard
  #failures = 0;
  #session = 0; // its renewAt when the connection was opened
  #heard = 0;
  #patience = 0; // the longest silence, in milliseconds
  #streamsAt = 0;
  #pause = 60_000;
  #timers = timers();

  constructor(host) {
    this.#host = host;
  }
  close() {
    this.#attempt = this.#transport = this.#transport?.close();
    this.#timers.clear();
  }
  async open(ask = false) {
    this.close();
    const attempt = (this.#attempt = {});
    const current = () => attempt === this.#attempt;
    const host = this.#host;
    try {
      if ((ask || Date.now() >= host.renewAt()) && !(await host.renew())) return;
    } catch (error) {
      console.error(error);
      return current() && this.#again({ ask: true });
    }
    if (!current()) return;
    this.#session = host.renewAt();
    this.#renewInTime();
    const kind = host.transport === "auto" ? (Date.now() < this.#streamsAt ? "long-polling" : "sse") : host.transport;
    this.#patience = { "long-polling": 40_000, polling: host.interval + 15_000 }[kind] ?? 65_000;
    this.#transport = TRANSPORTS[kind](host, {
      take: (block) => current() && this.#take(block, kind),
      lost: () => current() && this.#lost(),
      end: (how) => current() && this.#again(how),
    });
    this.#hear();
    if (host.transport === "auto" && kind === "sse") this.#timers.set("silent", 8000, () => this.#avoidStreams());
    if (host.transport === "auto" && kind !== "sse") this.#timers.set("stream", this.#streamsAt - Date.now(), () => this.open());
  }
  // Timers may have slept.
  check() {
    if (!this.#transport || Date.now() - this.#heard > this.#patience / 2) this.open();
  }
  #take(block, kind) {
    this.#timers.clear("silent");
    if (kind === "sse") this.#pause = 60_000;
    const data = block.type.startsWith("stream.") ? JSON.parse(block.data) : {};
    if (block.type === "stream.heartbeat") this.#patience = data.seconds * 2500;
    this.#hear();
    if (block.type === "stream.ready" && data.user === this.#host.user()) {
      this.#timers.set("stable", 60_000, () => (this.#failures = 0));
      this.#host.status("live");
    }
    this.#host.take(block);
    if (!this.#attempt) return; // closed by the page
    if (data.reconnect === false) this.#again({ ask: this.#host.renewAt() === this.#session });
  }
  // The EventSource comes back by itself, after up to a minute.
  #lost() {
    this.#timers.clear("silent");
    this.#host.status("reconnecting");
    this.#hear(75_000);
    this.#heard = 0; // for check()
  }
  #hear(patience = this.#patience) {
    this.#heard = Date.now();
    this.#timers.set("watch", patience, () => this.#again({}));
  }
  // Some proxies hold a stream back until it ends.
  #avoidStreams() {
    this.#streamsAt = Date.now() + this.#pause;
    this.#pause = Math.min(this.#pause * 2, 3_600_000);
    this.open();
  }
  // An EventSource does not tell why it failed.
  #again({ retry, ask = this.#failures > 0 }) {
    this.close();
    this.#host.status("reconnecting");
    const wait = Math.random() * Math.min(30_000, 500 * 2 ** this.#failures++);
    this.#timers.set("open", retry ?? wait, () => this.open(ask));
  }
  #renewInTime() {
    const renew = async (delay) => {
      try {
        if (await this.#host.renew()) this.#renewInTime();
      } catch (error) {
        console.error(error);
        this.#timers.set("renew", (delay = backoff(delay)), () => renew(delay));
      }
    };
    this.#timers.set("renew", Math.min(this.#host.renewAt() - Date.now(), 2 ** 31 - 1), renew);
  }
}

// A transport calls on.end() when it will not come back by itself.
const TRANSPORTS = {
  sse({ url, types }, on) {
    const source = new EventSource(url("", { heartbeat: "event" }), { withCredentials: true });
    // It is closed by an answer that is not 200.
    source.onerror = () => (source.readyState === EventSource.CLOSED ? on.end({}) : on.lost());
    const service = ["ready", "gap", "cursor", "close", "heartbeat"].map((name) => `stream.${name}`);
    for (const type of [...types, ...service])
      source.addEventListener(type, ({ data, lastEventId: id }) => on.take({ type, data, id }));
    return { close: () => source.close() };
  },
  websocket({ url }, on) {
    const socket = new WebSocket(url("/ws", { heartbeat: "event" }), "sse-service.v1");
    let retry;
    socket.onmessage = (message) => {
      const { event: type = "message", data, id = "", ...rest } = JSON.parse(message.data);
      retry = rest.retry ?? retry;
      on.take({ type, data, id });
    };
    // 4401: expired or revoked
    socket.onclose = ({ code }) => on.end(code === 4401 ? { ask: true } : { retry });
    return { close: () => ((socket.onclose = socket.onmessage = null), socket.close()) };
  },
  "long-polling": (host, on) => poll(host, on, 25, 0),
  polling: (host, on) => poll(host, on, 0, host.interval),
};

function poll({ url, user }, on, wait, pause) {
  const abort = new AbortController();
  const ask = async () => {
    for (let first = true; !abort.signal.aborted; first = false) {
      const asked = Date.now();
      // The first answer makes it live.
      const address = url("/poll", { wait: first ? 0 : wait });
      const answer = await fetch(address, { credentials: "include", signal: abort.signal });
      if (!answer.ok) {
        const retry = answer.headers.get("Retry-After") * 1000 || undefined;
        return on.end([401, 403].includes(answer.status) ? { ask: true } : { retry });
      }
      const { events, cursor, gap, resumed, user: found, more } = await answer.json();
      const tell = (type, data, id = "") => on.take({ type, data: JSON.stringify(data), id });
      if (first || found !== user()) tell("stream.ready", { resumed, user: found });
      if (gap) tell("stream.gap", { reason: gap });
      for (const { type, data, id } of events) on.take({ type: type ?? "message", data, id });
      tell("stream.cursor", {}, cursor);
      // A task that ends answers at once.
      const early = wait && !first && !events.length && Date.now() - asked < 1000;
      const rest = more ? 0 : early ? 1000 : pause;
      // In a hidden tab, even a timer of 0 ms may take a minute.
      if (rest) await new Promise((done) => setTimeout(done, rest));
    }
  };
  ask().catch(() => abort.signal.aborted || on.end({}));
  return { close: () => abort.abort() };
}

// Tabs that want the same. A Web Lock chooses the leader, which holds the connection. It sends what it gets over a
// BroadcastChannel, numbered: a missing one is noticed.
class Group {
  #name;
  #host;
  #channel;
  #me = crypto.randomUUID();
  #leader = null;
  #number = 0;
  #leads = false;
  #request = null;
  #release = null;
  #timers = timers();

  constructor(name, host) {
    this.#name = name;
    this.#host = host;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#receive(data);
    this.#apply();
    this.check();
  }
  leave() {
    this.#request?.abort();
    this.#request = null;
    this.#release?.();
    this.#channel.close();
    this.#timers.clear();
  }
  send(block) {
    this.#channel.postMessage({ from: this.#me, number: ++this.#number, block });
  }
  hello() {
    if (this.#leads) this.#channel.postMessage({ from: this.#me, number: this.#number, hello: this.#host.report() });
  }
  // If the leader does not answer, it is frozen: take its lock.
  check() {
    if (this.#leads) return;
    this.#channel.postMessage({ ask: true });
    this.#timers.set("steal", 5000 + Math.random() * 2000, () => this.#apply(true));
  }
  #apply(steal) {
    this.#request?.abort();
    const request = (this.#request = new AbortController());
    const lead = () => {
      this.#leads = true;
      this.#timers.clear();
      this.#host.lead();
      this.hello();
    };
    navigator.locks
      .request(this.#name, steal ? { steal } : { signal: request.signal }, () => {
        if (request !== this.#request) return null;
        lead();
        return new Promise((release) => (this.#release = release));
      })
      .catch((error) => {
        if (request !== this.#request) return;
        if (error.name !== "AbortError") return lead(); // no locks here
        // Another tab has taken the lock from this one.
        this.#leads = false;
        this.#host.follow();
        this.#apply();
        this.check();
      });
  }
  #receive({ ask, from, number, hello, block }) {
    if (ask) return this.hello();
    if (this.#leads) return; // from a leader that was frozen
    if (from !== this.#leader && !hello) return;
    this.#timers.clear();
    this.#timers.set("check", 40_000, () => this.check());
    const next = hello ? number : number - 1;
    if (from !== this.#leader) this.#host.joined(hello.cursor);
    else if (next !== this.#number) this.#host.missed();
    this.#leader = from;
    this.#number = number;
    if (hello) this.#host.status(hello.status);
    else this.#host.take(block);
  }
}

function timers() {
  const running = new Map();
  return {
    set(name, ms, task) {
      clearTimeout(running.get(name));
      running.set(name, setTimeout(task, ms));
    },
    clear(name) {
      for (const each of name ? [name] : running.keys()) clearTimeout(running.get(each)), running.delete(each);
    },
  };
}

// Browsers may wait for an answer for ever.
function within(ms, promise) {
  return Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(new Error("no answer")), ms))]);
}

// Doubles a pause up to 30 s, with jitter.
function backoff(last = 250) {
  return Math.min(last * 2, 30_000) * (0.5 + Math.random() / 2);
}
