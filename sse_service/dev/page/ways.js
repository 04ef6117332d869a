// The ways to listen, and what each has cost: the switch, and the table that compares them.
import { PushClient } from "/client.js";

export const WAYS = { sse: "SSE", websocket: "WebSocket", "long-polling": "Long polling", polling: "Polling, every second" };
const BYTES = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export class Ways {
  #options; // of PushClient, for the user's page
  #user;
  #way = "sse";
  #push = null; // feeds the page
  #others = []; // measured beside it
  #ids = {}; // way -> the last id that a client of it has seen
  #events = {}; // way -> number of events
  #behind = {}; // way -> milliseconds behind the fastest, of each event
  #first = new Map(); // event -> when the fastest way brought it
  #timer;

  constructor(user, options) {
    this.#user = user;
    this.#options = options;
    const chosen = document.querySelectorAll("#ways input[name=way]");
    for (const input of chosen) input.onchange = () => this.#switch(input.value);
    document.querySelector("#ways-all").onchange = (event) => this.#compare(event.target.checked);
    document.querySelector("#ways-reset").onclick = () => this.#reset();
    this.#way = [...chosen].find((input) => input.checked).value;
    this.#push = this.#connect(this.#way, options);
    this.#compare(document.querySelector("#ways-all").checked);
    this.#timer = setInterval(() => this.#show().catch(console.error), 1000);
    this.#draw({});
  }
  close() {
    clearInterval(this.#timer);
    for (const push of [this.#push, ...this.#others]) push.close();
  }
  reconnect() {
    for (const push of [this.#push, ...this.#others]) push.reconnect();
  }

  // The client, of whatever transport, goes on from the id that the last one has seen.
  #connect(transport, options) {
    const url = `/events?tally=${encodeURIComponent(this.#user)}`;
    const apply = (event) => (this.#count(transport, event), options.apply?.(event));
    return new PushClient(url, { lastEventId: this.#ids[transport], ...options, apply, transport, interval: 1000 });
  }
  #switch(way) {
    const { lastEventId } = this.#push;
    this.#compare(false);
    this.#push.close();
    this.#way = way;
    this.#push = this.#connect(way, { ...this.#options, lastEventId });
    this.#compare(document.querySelector("#ways-all").checked);
  }
  #compare(all) {
    for (const push of this.#others) push.close();
    const others = all ? Object.keys(WAYS).filter((way) => way !== this.#way) : [];
    const { types, session } = this.#options;
    this.#others = others.map((way) => this.#connect(way, { types, session, share: false }));
    document.querySelector("#ways").dataset.all = all;
  }
  #count(way, { lastEventId }) {
    this.#ids[way] = lastEventId;
    this.#events[way] = (this.#events[way] ?? 0) + 1;
    if (!this.#others.length) return;
    const first = this.#first.get(lastEventId) ?? performance.now();
    this.#first.set(lastEventId, first);
    this.#behind[way] = [...(this.#behind[way] ?? []).slice(-200), performance.now() - first];
    if (this.#first.size > 200) this.#first.delete(this.#first.keys().next().value);
  }
  async #reset() {
    this.#events = {};
    this.#behind = {};
    await fetch("/demo/traffic", { method: "DELETE" });
    await this.#show();
  }

  async #show() {
    if (document.hidden || !document.querySelector("#ways").open) return;
    const answer = await fetch("/demo/traffic");
    if (answer.ok) this.#draw(await answer.json());
  }
  #draw(traffic) {
    const bytes = (way) => (traffic[way] ? traffic[way].sent + traffic[way].received : 0);
    const each = (way) => (this.#events[way] ? bytes(way) / this.#events[way] : 0);
    const most = Math.max(...Object.keys(WAYS).map(each), 1);
    for (const way of Object.keys(WAYS)) {
      const row = document.querySelector(`#ways tr[data-way="${way}"]`);
      const write = (name, text) => (row.querySelector(`[data-name=${name}]`).textContent = text);
      row.classList.toggle("used", bytes(way) > 0);
      write("requests", traffic[way]?.requests ?? 0);
      write("bytes", size(bytes(way)));
      write("events", this.#events[way] ?? 0);
      write("each", each(way) ? size(each(way)) : "–");
      write("behind", this.#behind[way] ? `${Math.round(median(this.#behind[way]))} ms` : "–");
      row.querySelector("progress").value = each(way) / most;
    }
  }
}

function size(bytes) {
  return bytes < 1000 ? `${Math.round(bytes)} B` : bytes < 1e6 ? `${BYTES.format(bytes / 1000)} kB` : `${BYTES.format(bytes / 1e6)} MB`;
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
