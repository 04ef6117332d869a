// The ways to listen, and what each has cost: the switch, and the table that compares them.
import { PushClient } from "/client.js";

const WAYS = ["sse", "websocket", "long-polling", "polling"];
const NUMBER = new Intl.NumberFormat("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const EVENTS = 200; // remembered, to compare the ways

export class Ways {
  #tally; // names the server's counts of this browser
  #options; // of PushClient, for the user's page
  #way; // feeds the page
  #clients = new Map(); // way -> client; all but that of #way are only measured
  #costs; // way -> what it has cost since the last reset
  #counts = null; // the server's counts, as last seen
  #used = new Set(); // the ways that were used since then
  #clock = performance.now(); // until when the ways' time was counted
  #seen = new Map(); // event's id -> when it came first, and by which ways
  #asked = Promise.resolve();
  #timer;
  #closed = false;

  constructor(tally, options) {
    this.#tally = tally;
    this.#options = options;
    const ways = [...document.querySelectorAll("#ways input[name=way]")];
    const all = document.querySelector("#ways-all");
    for (const input of ways) input.onchange = () => this.#choose(input.value, all.checked);
    all.onchange = () => this.#choose(this.#way, all.checked);
    document.querySelector("#ways-reset").onclick = () => this.#reset();
    this.#way = ways.find((input) => input.checked).value;
    this.#clear();
    // What the server has counted for an earlier page is not this page's cost.
    this.#measure().then(() => this.#closed || (this.#choose(this.#way, all.checked), this.#tick()));
  }
  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const client of this.#clients.values()) client.close();
  }
  reconnect() {
    for (const client of this.#clients.values()) client.reconnect();
  }

  // Connections

  #choose(way, all) {
    if (this.#closed) return;
    this.#countTime();
    const wanted = all ? WAYS : [way];
    const feed = this.#clients.get(this.#way);
    const changed = way === this.#way ? [] : [way, this.#way];
    const ended = new Map([...this.#clients].filter(([each]) => !wanted.includes(each) || changed.includes(each)));
    for (const [each, client] of ended) client.close(), this.#clients.delete(each);
    this.#way = way;
    for (const each of wanted) {
      if (this.#clients.has(each)) continue;
      // A way that is only measured goes on where it was. All others start where the page is.
      this.#connect(each, (each === way ? feed : (ended.get(each) ?? feed))?.lastEventId);
    }
    document.querySelector("#ways").dataset.all = all;
  }
  #connect(way, lastEventId) {
    const { types, session, ...hooks } = this.#options;
    const { apply, ...others } = way === this.#way ? hooks : {};
    this.#clients.set(
      way,
      new PushClient(`/events?tally=${this.#tally}`, {
        ...{ types, session, ...others, transport: way, interval: 1000, lastEventId },
        apply: (event) => (this.#countEvent(way, event.lastEventId), apply?.(event)),
      }),
    );
    this.#used.add(way);
  }

  // Costs

  #clear() {
    this.#costs = Object.fromEntries(
      WAYS.map((way) => [way, { time: 0, requests: 0, sent: 0, received: 0, events: 0, behind: [] }]),
    );
    this.#draw();
  }
  #reset() {
    this.#measure().then(() => this.#clear());
  }
  async #tick() {
    this.#countTime();
    if (!document.hidden && document.querySelector("#ways").open) await this.#measure();
    this.#draw();
    if (!this.#closed) this.#timer = setTimeout(() => this.#tick(), 1000);
  }
  #countTime() {
    const now = performance.now();
    for (const way of this.#clients.keys()) this.#costs[way].time += now - this.#clock;
    this.#clock = now;
  }
  #countEvent(way, id) {
    const now = performance.now();
    const { first, ways } = this.#seen.get(id) ?? { first: now, ways: new Set() };
    if (ways.has(way)) return; // a way that continues where the page is may bring an event again
    this.#seen.set(id, { first, ways: ways.add(way) });
    if (this.#seen.size > EVENTS) this.#seen.delete(this.#seen.keys().next().value);
    const cost = this.#costs[way];
    cost.events += 1;
    if (this.#clients.size > 1) cost.behind = [...cost.behind, now - first].slice(-EVENTS);
  }
  // One after another, or an older answer would follow a newer one.
  #measure() {
    return (this.#asked = this.#asked.then(() => this.#ask()).catch(console.error));
  }
  async #ask() {
    const used = this.#used;
    this.#used = new Set(this.#clients.keys());
    const answer = await fetch(`/demo/traffic?tally=${this.#tally}`);
    if (!answer.ok) return used.forEach((way) => this.#used.add(way));
    const counts = await answer.json();
    for (const way of this.#counts ? used : [])
      for (const [name, count] of Object.entries(counts[way] ?? {})) {
        const before = this.#counts[way]?.[name] ?? 0;
        this.#costs[way][name] += count < before ? count : count - before; // lower: the server was restarted
      }
    this.#counts = counts;
  }

  #draw() {
    const bytes = ({ sent, received }) => sent + received;
    const each = (cost) => (cost.events ? bytes(cost) / cost.events : 0);
    const most = Math.max(...Object.values(this.#costs).map(each), 1);
    for (const [way, cost] of Object.entries(this.#costs)) {
      const row = document.querySelector(`#ways tr[data-way="${way}"]`);
      const write = (name, text) => (row.querySelector(`[data-name=${name}]`).textContent = text);
      row.classList.toggle("used", bytes(cost) > 0);
      write("time", minutes(cost.time));
      write("requests", cost.requests);
      write("sent", size(cost.sent));
      write("received", size(cost.received));
      write("events", cost.events);
      write("each", cost.events ? size(each(cost)) : "–");
      write("behind", cost.behind.length ? `${Math.round(median(cost.behind))} ms` : "–");
      row.querySelector("progress").value = each(cost) / most;
    }
  }
}

function minutes(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function size(bytes) {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  return bytes < 1e6 ? `${NUMBER.format(bytes / 1000)} kB` : `${NUMBER.format(bytes / 1e6)} MB`;
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
