// The demo page: shows the jobs of one user. client.js keeps them up to date.
import { Ways } from "./ways.js";

const MAX_BYTES = 20 * 1024 * 1024;
// The first two states exist only in this page. A job's rank never decreases.
const RANK = { uploading: -1, refused: -1, waiting: 0, processing: 1, done: 2, failed: 2 };
const LABEL = { uploading: "Uploading", refused: "Not uploaded", waiting: "Waiting", processing: "Processing", done: "Done", failed: "Failed" };
const STATUS = { connecting: "Connecting…", live: "Live", reconnecting: "Reconnecting…", closed: "Stopped" };
const TYPES = ["upload.waiting", "upload.processing", "upload.done", "upload.failed"];
// Events of the commands that `sse-service dev` prints. The page shows them only in its event log.
const OTHER_TYPES = ["message", "greeting"];

const $ = (id) => document.getElementById(id);
const jobs = new Map(); // job id -> {job, row}
let user = null;
let push = null;
let received = 0;

function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Requests

function post(path, body = {}) {
  return fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

async function session() {
  const minted = await post("/demo/token");
  if (minted.status === 401) return null;
  if (!minted.ok) throw new Error(`token: ${minted.status}`);
  const { token, ...answer } = await minted.json();
  const opened = await fetch("/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  if (!opened.ok) throw new Error(`session: ${opened.status} ${await opened.text()}`);
  return answer;
}

async function load() {
  const answer = await fetch("/demo/jobs");
  if (!answer.ok) throw new Error(`jobs: ${answer.status}`);
  const state = await answer.json();
  if (state.user !== user) return push?.reconnect();
  const kept = new Set(state.jobs.map((job) => job.job));
  for (const [id, { job, row }] of jobs) if (!kept.has(id) && RANK[job.state] >= 0) jobs.delete(id), row.remove();
  for (const job of state.jobs.reverse()) show(job);
  $("empty").hidden = jobs.size > 0;
}

function apply(event) {
  log(event);
  if (!TYPES.includes(event.type)) return;
  const job = JSON.parse(event.data);
  if (show(job) && RANK[job.state] === 2) $("announcer").textContent = `${job.name}: ${LABEL[job.state]}. ${job.message}`;
}

// Rows

function show(job) {
  const known = jobs.get(job.job);
  // Events may repeat and come in any order: progress never decreases, and a finished job does not change.
  if (known && (RANK[known.job.state] === 2 || RANK[job.state] < RANK[known.job.state])) return false;
  if (known && RANK[job.state] === RANK[known.job.state] && job.progress <= known.job.progress) return false;
  const row = known?.row ?? newRow(job.name);
  row.dataset.job = job.job;
  paint(row, job);
  jobs.set(job.job, { job, row });
  return true;
}

function newRow(name) {
  const row = $("job").content.firstElementChild.cloneNode(true);
  const ending = /[^.]\.([A-Za-z0-9]{1,4})$/.exec(name);
  row.querySelector(".tile").textContent = ending ? ending[1] : "file";
  row.querySelector(".name").textContent = name;
  row.querySelector("progress").setAttribute("aria-label", `Progress of ${name}`);
  $("jobs").prepend(row);
  $("empty").hidden = true;
  return row;
}

function paint(row, { state, progress, message }) {
  row.dataset.state = state;
  row.querySelector(".message").textContent = message;
  row.querySelector(".state").textContent = state === "processing" ? `${progress} %` : LABEL[state];
  const bar = row.querySelector("progress");
  bar.hidden = ["done", "failed", "refused"].includes(state);
  if (progress === null) bar.removeAttribute("value");
  else bar.value = progress;
}

// Uploads

async function upload(file) {
  // The page chooses the id, because the first event may come before the upload's response.
  const id = randomId();
  const job = { job: id, name: file.name, state: "uploading", progress: null, message: "Uploading to the bucket" };
  show(job);
  const refuse = (message) => {
    const known = jobs.get(id);
    if (known?.job !== job) return; // an event came first: the file is stored
    known.job = { ...job, state: "refused", progress: 0, message };
    paint(known.row, known.job);
  };
  if (file.size > MAX_BYTES) return refuse("The file has more than 20 MiB.");
  try {
    const answer = await fetch(`/demo/uploads/${id}/${encodeURIComponent(file.name)}`, { method: "PUT", body: file });
    const body = await answer.json();
    if (!answer.ok) return refuse(body.detail);
    if (jobs.has(id)) show(body); // false if another user has signed in meanwhile
  } catch {
    refuse("The connection broke. Try again.");
  }
}

function uploadAll(files) {
  for (const file of files) upload(file);
}

$("files").addEventListener("change", (event) => {
  uploadAll(event.target.files);
  event.target.value = "";
});
for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(type, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    $("drop").classList.toggle("over", type === "dragenter" || type === "dragover");
    if (type === "drop" && user) uploadAll(event.dataTransfer.files);
  });
}

// Sign-in. All windows of a browser share the cookies: a change in one window reaches the others as a storage event.

function signedIn(name) {
  user = name;
  clear();
  $("signin").hidden = true;
  $("app").hidden = $("account").hidden = false;
  $("user").textContent = name;
  push?.close();
  // All windows of a browser use one tally, because they share their connections.
  localStorage.tally ??= randomId();
  push = new Ways(localStorage.tally, { types: [...TYPES, ...OTHER_TYPES], session, load, apply, status, userChanged });
}

function signedOut() {
  push?.close();
  push = user = null;
  clear();
  $("signin").hidden = false;
  $("app").hidden = $("account").hidden = true;
  $("signin-user").focus();
}

function clear() {
  for (const list of ["jobs", "event-log"]) $(list).replaceChildren();
  jobs.clear();
  $("event-count").textContent = received = 0;
  $("empty").hidden = true;
}

function userChanged(name) {
  if (name === null) {
    localStorage.removeItem("user");
    notify("You were signed out, or the demo was started again. Sign in again to continue.");
    return signedOut();
  }
  notify(`Another window signed in as ${name}. This window now shows the files of ${name}.`);
  signedIn(name);
}

function status(state) {
  $("status").dataset.state = state;
  $("status").textContent = STATUS[state];
}

function notify(text) {
  $("notice-text").textContent = text;
  $("notice").hidden = !text;
}

function log(event) {
  const line = document.createElement("li");
  for (const [name, text] of [["type", event.type], ["data", event.data]]) {
    const part = document.createElement(name === "type" ? "strong" : "code");
    part.textContent = text;
    line.append(part, " ");
  }
  $("event-log").prepend(line);
  if ($("event-log").childElementCount > 100) $("event-log").lastElementChild.remove();
  $("event-count").textContent = ++received;
}

$("signin-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("signin-error").textContent = "";
  try {
    const answer = await post("/demo/login", { user: $("signin-user").value.trim() });
    const body = await answer.json();
    if (!answer.ok) return void ($("signin-error").textContent = body.detail);
    localStorage.setItem("user", body.user);
    notify("");
    signedIn(body.user);
    $("files").focus();
  } catch {
    $("signin-error").textContent = "The server does not answer. Try again.";
  }
});
$("logout").addEventListener("click", async () => {
  push?.close();
  await Promise.allSettled([post("/demo/logout"), fetch("/session", { method: "DELETE" })]);
  localStorage.removeItem("user");
  notify("");
  signedOut();
});
$("notice-close").addEventListener("click", () => notify(""));
addEventListener("storage", (event) => {
  if (event.key !== "user" || event.newValue === user) return;
  if (push) push.reconnect();
  else if (event.newValue) userChanged(event.newValue);
});

const remembered = localStorage.getItem("user");
if (remembered) signedIn(remembered);
else signedOut();
