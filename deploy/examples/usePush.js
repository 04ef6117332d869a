// A React hook that keeps its state up to date with pushed events. Copy client.js, jobs.js and this file.
//
//   const JOBS = { url: `${PUSH}/events`, types: TYPES, session, load: fetchJobs, apply: changed, userChanged: () => location.reload() };
//
//   function Jobs() {
//     const { state, status } = usePush(JOBS);
//     if (!state) return <p>{status}</p>;
//     return <ul>{Object.values(state).map(({ job, state }) => <li key={job}>{job}: {state}</li>)}</ul>;
//   }
import { useEffect, useState } from "react";
import { PushClient } from "./client.js";

// options: those of PushClient, but load() returns the state, and apply(state, data) the next one.
export function usePush(options) {
  // The options of the first render: new objects in each render would open a stream for each render.
  const [first] = useState(options);
  const [state, setState] = useState(null);
  const [status, setStatus] = useState("connecting");
  useEffect(() => {
    const push = new PushClient({
      ...first,
      status: setStatus,
      // Called when a stream did not resume, and on a gap. Events wait until it is done.
      load: async () => setState(await first.load()),
      apply: (event) => setState((known) => first.apply(known ?? {}, JSON.parse(event.data))),
    });
    return () => push.close();
  }, [first]);
  return { state, status };
}
