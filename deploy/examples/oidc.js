// Signs the user in with an OpenID provider, for a page without a back end of its own: authorization code with PKCE
// (RFC 7636) and refresh tokens. Register the page at the provider as a public client, with the page's URL as redirect
// URI and its origin as allowed origin.
//
//   if (await signedIn()) {
//     const push = new PushClient({ session, userChanged: () => location.reload(), … }); // client.js
//     tabs.addEventListener("message", () => push.reconnect()); // it finds that the user has signed out in another tab
//   } else button.onclick = signIn; // not at once: the provider may still know a user who has signed out

export const ISSUER = "https://login.example.com"; // as in SSE_OIDC_ISSUERS
export const CLIENT = "push-page"; // the client id
export const PUSH = ""; // the push service's origin, such as "https://push.example.com"; empty if it is the page's
const SCOPE = "openid offline_access"; // offline_access asks for a refresh token. Cognito: openid alone
const MORE = {}; // further parameters of the sign-in. Auth0: { audience: "https://push.example.com" }
const USER_CLAIM = "sub"; // as SSE_USER_CLAIM
const PAGE = location.origin + location.pathname;

let endpoints = null;
let renewing = null;
// In memory only: what is in localStorage, a script that gets into the page later can read too.
let tokens = null;
// Tells of a sign-out in another tab. Each tab ends its own tokens, and not the cookie, which may be of a new sign-in.
export const tabs = new BroadcastChannel("push-sign-out");
tabs.addEventListener("message", () => tokens && end("omit").catch(console.error));

// Leaves the page for the provider's sign-in, which comes back with a code.
export async function signIn() {
  const verifier = random();
  const state = random();
  sessionStorage.setItem("sign-in", JSON.stringify({ verifier, state }));
  const challenge = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const query = new URLSearchParams({
    response_type: "code",
    client_id: CLIENT,
    redirect_uri: PAGE,
    scope: SCOPE,
    state,
    code_challenge: base64url(new Uint8Array(challenge)),
    code_challenge_method: "S256",
    ...MORE,
  });
  location.assign(`${(await provider()).authorization_endpoint}?${query}`);
}

// Redeems the code, if the page was loaded with one. Returns whether a user is signed in.
export async function signedIn() {
  const answer = new URLSearchParams(location.search);
  const begun = JSON.parse(sessionStorage.getItem("sign-in"));
  sessionStorage.removeItem("sign-in");
  // Without the state, a link of somebody else could sign the user in as somebody else.
  if (begun && answer.get("state") === begun.state) {
    history.replaceState(null, "", PAGE); // the code works only once
    if (answer.has("error")) throw new Error(`sign-in: ${answer.get("error")}`);
    tokens = await redeem({
      grant_type: "authorization_code",
      code: answer.get("code"),
      redirect_uri: PAGE,
      code_verifier: begun.verifier,
    });
  }
  return tokens !== null;
}

// Takes the access token to the push service, which stores it in a cookie. client.js calls this again before the token
// expires, and each time before it opens a stream.
export async function session() {
  if (tokens && Date.now() >= tokens.renewAt) {
    // One request at a time: most providers accept a refresh token only once, and take a second use for theft.
    await (renewing ??= renew().finally(() => (renewing = null)));
  }
  if (!tokens) return null; // signed out
  const used = tokens;
  const made = await fetch(`${PUSH}/session`, {
    method: "POST",
    headers: { Authorization: `Bearer ${used.access_token}` },
    credentials: "include", // without it the browser drops the cookie of another origin
  });
  if (made.status === 401) used.renewAt = 0; // client.js tries again: with a new token
  if (!made.ok) throw new Error(`session: ${made.status} ${await made.text()}`); // client.js logs it to the console
  const user = String(claims(used.access_token)[USER_CLAIM]);
  return { user, expires_in: Math.max(1, (used.expiresAt - Date.now()) / 1000) };
}

// Ends the session of the push service in all tabs. Only the provider's end_session_endpoint ends the sign-in there.
export async function signOut() {
  tabs.postMessage("signed out");
  await end("include");
}

async function end(credentials) {
  const old = tokens;
  tokens = null;
  const headers = old ? { Authorization: `Bearer ${old.access_token}` } : {};
  const asked = fetch(`${PUSH}/session`, { method: "DELETE", credentials, headers });
  revoke(old).catch(console.error); // whatever comes of it, the user is signed out here
  const ended = await asked;
  if (!ended.ok) throw new Error(`session: ${ended.status} ${await ended.text()}`);
}

// Ends the refresh token at the provider (RFC 7009).
async function revoke(old) {
  const { revocation_endpoint } = await provider();
  if (!revocation_endpoint || !old?.refresh_token) return;
  const body = new URLSearchParams({ client_id: CLIENT, token: old.refresh_token, token_type_hint: "refresh_token" });
  const answer = await fetch(revocation_endpoint, { method: "POST", body, keepalive: true }); // even if the page leaves
  if (!answer.ok) throw new Error(`revocation: ${answer.status}`);
}

async function renew() {
  const old = tokens;
  const { refresh_token } = old;
  const renewed = refresh_token ? await redeem({ grant_type: "refresh_token", refresh_token }) : null;
  if (tokens === old) tokens = renewed;
  else await revoke(renewed); // the user has signed out meanwhile
}

// Returns the tokens, or null if the provider no longer accepts the code or the refresh token.
async function redeem(fields) {
  const body = new URLSearchParams({ client_id: CLIENT, ...fields });
  const answer = await fetch((await provider()).token_endpoint, { method: "POST", body });
  const given = await answer.json();
  if (given.error === "invalid_grant") return null;
  if (!answer.ok) throw new Error(`token: ${answer.status} ${given.error}`);
  const life = (given.expires_in ?? 300) * 1000;
  // client.js calls session() after 80 % of what is left. By then it must be time to renew.
  return { ...fields, ...given, renewAt: Date.now() + life * 0.7, expiresAt: Date.now() + life };
}

async function provider() {
  if (!endpoints) {
    const answer = await fetch(`${ISSUER}/.well-known/openid-configuration`);
    if (!answer.ok) throw new Error(`discovery: ${answer.status}`);
    endpoints = await answer.json();
  }
  return endpoints;
}

function claims(token) {
  const text = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (char) => char.charCodeAt(0))));
}

function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
