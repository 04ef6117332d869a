// session() for a back end with its own session cookie, which the push service asks by SSE_AUTHORIZER_URL. Nothing is
// sent to POST /session. In page.js, import it from here and not from jobs.js.
//
// client.js calls it before it opens a stream, and again before expires_in is over: so it notices a sign-out, or another
// user, in this window or another.
export async function session() {
  const answer = await fetch("/push/user"); // the path that SSE_AUTHORIZER_URL asks, too
  if (answer.status === 401) return null; // signed out
  if (!answer.ok) throw new Error(`/push/user: ${answer.status}`); // client.js tries again
  return answer.json(); // {user, groups, expires_in}
}
