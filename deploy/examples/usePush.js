// A React hook that keeps its state up to date with pushed events. Copy push.js, jobs.js and this file.
//
//   const JOBS = { url: `${PUSH}/events`, types: TYPES, session, load: fetchJobs, apply: changed, userChanged: () => location.reload() };
//
//   function Jobs() {
//     const { state, status } = usePush(JOBS);
//     if (!state) return <p>{status}</p>;
//     return <ul>{Object.values(state).map(({ job, state }) => <li key={job}>{job}: {state}</li>)}</ul>;
//   }
import { useEffect, useState } from "react";
import { follow } from "./push.js";

// options: url, types, session and userChanged as in push.js; load() returns the state, apply(state, data) the next one.
export function usePush(options) {
  // The options of the first render: new objects in each render would open a stream for each render.
  const [{ url, types, session, load, apply, userChanged }] = useState(options);
  const [state, setState] = useState(null);
  const [status, setStatus] = useState("connecting");
  useEffect(() => {
    const push = follow({
      url,
      types,
      session,
      userChanged,
      status: setStatus,
      // Called when a stream did not resume, and on a gap. Events wait until it is done.
      load: async () => setState(await load()),
      apply: (event) => setState((known) => apply(known ?? {}, JSON.parse(event.data))),
    });
    return push.stop;
  }, [url, types, session, load, apply, userChanged]);
  return { state, status };
}
