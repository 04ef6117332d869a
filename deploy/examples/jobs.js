// What a page that shows jobs needs besides push.js: its session, its state, and what an event changes in it.

export const PUSH = ""; // the push service's origin where it is not the page's, as "https://push.example.com"
export const TYPES = ["job.working", "job.done"]; // a named event is heard only by a listener of its name

// Takes a token from your own back end to the push service, which makes it a cookie. push.js calls this again before
// the token expires.
export async function session() {
  const minted = await fetch("/my/token", { method: "POST" });
  if (minted.status === 401) return null; // signed out
  if (!minted.ok) throw new Error(minted.status);
  const { token, user, expires_in } = await minted.json();
  const made = await fetch(`${PUSH}/session`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}` },
    credentials: "include", // or the cookie of another origin is thrown away
  });
  if (!made.ok) throw new Error(made.status);
  return { user, expires_in };
}

// The true state, from your own back end: a list of {job, step, state}.
export async function fetchJobs() {
  const answer = await fetch("/my/jobs");
  if (!answer.ok) throw new Error(answer.status);
  return Object.fromEntries((await answer.json()).map((job) => [job.job, job]));
}

// Idempotent and in any order: a job never goes back to an earlier step, and its last step is final.
export function changed(jobs, news) {
  const known = jobs[news.job];
  return known && Number(known.step) >= Number(news.step) ? jobs : { ...jobs, [news.job]: news };
}
