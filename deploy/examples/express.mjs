// Handlers for an Express app with express-session, whose session cookie opens streams. They need PUSH_ADMIN_URL.
//
//   app.get("/push/user", pushUser);
//   app.post("/sign-out", signOut);

const SECONDS = 900; // a stream ends after this time, and its page comes back: then the push service asks again

// Says who is signed in: to the push service (SSE_AUTHORIZER_URL), and to the page (session.js).
// Passport puts the user into request.user. Read it from request.session if your app keeps it there.
export function pushUser(request, response) {
  const { user, session } = request;
  const left = session?.cookie.maxAge; // in milliseconds; no number if the session ends with the browser
  const seconds = Math.min(SECONDS, typeof left === "number" ? Math.floor(left / 1000) : SECONDS);
  response.set("Cache-Control", "no-store");
  // Never a redirect to the login page: the push service does not follow it, and does not take it for a no.
  if (!user || seconds <= 0) return response.status(401).json({});
  response.json({ user: String(user.id), groups: user.groups ?? [], expires_in: seconds });
}

export function signOut(request, response, next) {
  const { user } = request;
  request.session.destroy(async (error) => {
    if (error) return next(error);
    // Not earlier: a page comes back as soon as its stream ends, and the session must be gone by then.
    if (user) await revoke(user.id);
    response.redirect(303, "/");
  });
}

// Ends the streams of a user on all devices. Those that are still signed in come back and get a new stream.
export async function revoke(user) {
  try {
    const answer = await fetch(`${process.env.PUSH_ADMIN_URL}/revoke`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ user: String(user) }),
      signal: AbortSignal.timeout(2000),
    });
    if (!answer.ok) throw new Error(`the answer is ${answer.status}`);
  } catch (error) {
    console.warn(`the streams of user ${user} could not be ended: they end within ${SECONDS} s (${error.message})`);
  }
}
