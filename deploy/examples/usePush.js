// A React hook whose state is kept true by pushed events. Copy push.js, jobs.js and this.
//
//   const JOBS = { url: `${PUSH}/events`, types: TYPES, session, load: fetchJobs, apply: changed, stranger: () => location.reload() };
//
//   function Jobs() {
//     const { state, status } = usePush(JOBS);
//     if (!state) return <p>{status}</p>;
//     return <ul>{Object.values(state).map(({ job, state }) => <li key={job}>{job}: {state}</li>)}</ul>;
//   }
import { useEffect, useState } from "react";
import { follow } from "./push.js";

// options: url, types, session and stranger as in push.js; load() gives the state; apply(state, data) gives the next one.
export function usePush(options) {
  // The first render's: an object made anew by each render would open a stream for each.
  const [{ url, types, session, load, apply, stranger }] = useState(options);
  const [state, setState] = useState(null);
  const [status, setStatus] = useState("connecting");
  useEffect(() => {
    const push = follow({
      url,
      types,
      session,
      stranger,
      status: setStatus,
      // When a stream did not resume, and on a gap; events are held back until it is done.
      load: async () => setState(await load()),
      apply: (event) => setState((known) => apply(known ?? {}, JSON.parse(event.data))),
    });
    return push.stop;
  }, [url, types, session, load, apply, stranger]);
  return { state, status };
}
