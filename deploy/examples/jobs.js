// The parts of a page that shows jobs: its session, its state, and the change that an event makes. Used with client.js.

export const PUSH = ""; // the push service's origin, such as "https://push.example.com"; empty if it is the page's
export const TYPES = ["job.working", "job.done"]; // the names of the events to receive

// Takes a token from your own back end to the push service, which stores it in a cookie. client.js calls this
// again before the token expires.
export async function session() {
  const minted = await fetch("/my/token", { method: "POST" });
  if (minted.status === 401) return null; // signed out
  if (!minted.ok) throw new Error(`token: ${minted.status}`);
  const { token, user, expires_in } = await minted.json();
  const made = await fetch(`${PUSH}/session`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}` },
    credentials: "include", // without it the browser drops the cookie of another origin
  });
  if (!made.ok) throw new Error(`session: ${made.status} ${await made.text()}`); // client.js logs it to the console
  return { user, expires_in };
}

// Fetches the true state from your own back end: a list of {job, step, state}.
export async function fetchJobs() {
  const answer = await fetch("/my/jobs");
  if (!answer.ok) throw new Error(answer.status);
  return Object.fromEntries((await answer.json()).map((job) => [job.job, job]));
}

// Events may repeat or come in any order: a job never goes back to an earlier step.
export function changed(jobs, news) {
  const known = jobs[news.job];
  return known && Number(known.step) >= Number(news.step) ? jobs : { ...jobs, [news.job]: news };
}
