// The demo's page: shows jobs, and lets push.js keep them true.
import { follow } from "./push.js";

const MAX_BYTES = 20 * 1024 * 1024;
const RANK = { received: 0, processing: 1, done: 2, failed: 2 };
const LABEL = { uploading: "Uploading", waiting: "Stored", refused: "Not stored", received: "Received", processing: "Processing", done: "Done", failed: "Failed" };
const STATUS = { connecting: "Connecting…", live: "Live", reconnecting: "Reconnecting…", stopped: "Stopped" };
const TYPES = ["upload.received", "upload.processing", "upload.done", "upload.failed"];
// Not this page's events: what the printed lines publish, shown in the log below only.
const OTHERS = ["message", "greeting"];

const $ = (id) => document.getElementById(id);
const jobs = new Map(); // job id -> {job, row}
const uploads = new Set(); // {key, name, row}: files on their way, until their job is known
let user = null;
let push = null;
let seen = 0;

// Requests. These, and the upload below, are all: nothing is ever polled.

function post(path) {
  return fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
}

async function session() {
  const minted = await post("/demo/token");
  if (minted.status === 401) return null;
  if (!minted.ok) throw new Error(`token: ${minted.status}`);
  const { token, ...answer } = await minted.json();
  const opened = await fetch("/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  if (!opened.ok) throw new Error(`session: ${opened.status}`);
  return answer;
}

async function load() {
  const answer = await fetch("/demo/jobs");
  if (!answer.ok) throw new Error(`jobs: ${answer.status}`);
  const state = await answer.json();
  if (state.user !== user) return push?.reopen();
  const kept = new Set(state.jobs.map((job) => job.job));
  for (const [id, { row }] of jobs) if (!kept.has(id)) jobs.delete(id), row.remove();
  for (const job of state.jobs.reverse()) show(job);
  $("empty").hidden = jobs.size + uploads.size > 0;
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
  // At least once and in any order: a bar never runs backwards, and done is final.
  if (known && (RANK[known.job.state] === 2 || RANK[job.state] < RANK[known.job.state])) return false;
  if (known && RANK[job.state] === RANK[known.job.state] && job.progress <= known.job.progress) return false;
  // A file's first event may be quicker than the upload's answer, which tells its key: till then its name must do.
  const uploaded = known ? null : [...uploads].find(({ key, name }) => (key ? key === job.key : name === job.name));
  uploads.delete(uploaded);
  const row = known?.row ?? uploaded?.row ?? newRow(job.name);
  row.dataset.job = job.job;
  paint(row, job.state, job.progress, job.message);
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

function paint(row, state, progress, message) {
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
  const row = newRow(file.name);
  const entry = { key: null, name: file.name, row };
  uploads.add(entry);
  paint(row, "uploading", null, "On its way to the bucket");
  const refuse = (why) => uploads.delete(entry) && paint(row, "refused", 0, why);
  if (file.size > MAX_BYTES) return refuse("It has more than 20 MiB");
  try {
    const answer = await fetch(`/demo/uploads/${encodeURIComponent(file.name)}`, { method: "PUT", body: file });
    const body = await answer.json();
    if (!answer.ok) return refuse(body.detail);
    if (!uploads.has(entry)) return; // its first event was quicker
    if ([...jobs.values()].some(({ job }) => job.key === body.key)) return uploads.delete(entry), row.remove();
    entry.key = body.key;
    paint(row, "waiting", null, "In the bucket, its notification is under way");
  } catch {
    refuse("The connection broke. Try again.");
  }
}

function take(files) {
  for (const file of files) upload(file);
}

$("files").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = "";
});
for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(type, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    $("drop").classList.toggle("over", type === "dragenter" || type === "dragover");
    if (type === "drop" && user) take(event.dataTransfer.files);
  });
}

// Who is signed in. The cookies are the whole profile's: a change in one window reaches the others as a storage event.

function start(name) {
  user = name;
  clear();
  $("signin").hidden = true;
  $("app").hidden = $("account").hidden = false;
  $("user").textContent = name;
  push = follow({ types: [...TYPES, ...OTHERS], session, load, apply, status, stranger });
}

function end() {
  push?.stop();
  push = user = null;
  clear();
  $("signin").hidden = false;
  $("app").hidden = $("account").hidden = true;
  $("signin-user").focus();
}

function clear() {
  for (const list of ["jobs", "wire"]) $(list).replaceChildren();
  jobs.clear();
  uploads.clear();
  $("wire-count").textContent = seen = 0;
  $("empty").hidden = true;
}

function stranger(name) {
  if (name === null) {
    localStorage.removeItem("user");
    tell("You are signed out. Sign in again to go on.");
    return end();
  }
  tell(`This browser is now signed in as ${name}: that happened in another window. From here on you see the files of ${name}.`);
  start(name);
}

function status(state) {
  $("status").dataset.state = state;
  $("status").textContent = STATUS[state];
}

function tell(text) {
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
  $("wire").prepend(line);
  if ($("wire").childElementCount > 100) $("wire").lastElementChild.remove();
  $("wire-count").textContent = ++seen;
}

$("signin-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("signin-error").textContent = "";
  const body = JSON.stringify({ user: $("signin-user").value.trim() });
  try {
    const answer = await fetch("/demo/login", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const said = await answer.json();
    if (!answer.ok) return void ($("signin-error").textContent = said.detail);
    localStorage.setItem("user", said.user);
    tell("");
    start(said.user);
    $("files").focus();
  } catch {
    $("signin-error").textContent = "The server cannot be reached.";
  }
});
$("logout").addEventListener("click", async () => {
  push?.stop();
  await Promise.allSettled([post("/demo/logout"), fetch("/session", { method: "DELETE" })]);
  localStorage.removeItem("user");
  tell("");
  end();
});
$("notice-close").addEventListener("click", () => tell(""));
addEventListener("storage", (event) => {
  if (event.key !== "user" || event.newValue === user) return;
  if (push) push.reopen();
  else if (event.newValue) stranger(event.newValue);
});

const remembered = localStorage.getItem("user");
if (remembered) start(remembered);
else end();
