// A page that lists its user's jobs: <title></title><ul id="jobs"></ul><script type="module" src="page.js"></script>
// Copy jobs.js and this file. The service serves client.js, and it may stand beside them as well.
import { changed, fetchJobs, PUSH, session, TYPES } from "./jobs.js";
import { PushClient } from "./client.js";

let jobs = {};

function show(news) {
  jobs = news;
  const items = Object.values(jobs).map(({ job, state }) => {
    const item = document.createElement("li");
    item.textContent = `${job}: ${state}`;
    return item;
  });
  document.querySelector("#jobs").replaceChildren(...items);
}

new PushClient(`${PUSH}/events`, {
  types: TYPES,
  session,
  // Called when a stream did not resume, and on a gap. Events wait until it is done.
  load: async () => show(await fetchJobs()),
  apply: (event) => show(changed(jobs, JSON.parse(event.data))),
  status: (text) => (document.title = text), // connecting, live, reconnecting, closed
  userChanged: () => location.reload(), // the user has signed out, or another one has signed in
});
