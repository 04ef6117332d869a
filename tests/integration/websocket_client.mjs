// Connects with Node's own WebSocket, or with the one of a module, and prints what happens, one JSON value a line.
//
//   node websocket_client.mjs URL TOKEN [MODULE]
//
// MODULE is `reconnecting-websocket`, which connects again by itself and asks a function for the URL each time.

const [url, token, module] = process.argv.slice(2);
let last = null;
const resuming = () => (last === null ? url : `${url}?lastEventId=${encodeURIComponent(last)}`);

let socket;
if (module === undefined) {
  socket = new WebSocket(url, "sse-service.v1");
} else {
  const { default: ReconnectingWebSocket } = await import(module);
  const options = { minReconnectionDelay: 100, maxReconnectionDelay: 200 };
  socket = new ReconnectingWebSocket(resuming, "sse-service.v1", { ...options, WebSocket });
}

const print = (value) => console.log(JSON.stringify(value));
socket.addEventListener("open", () => {
  print({ opened: socket.protocol, extensions: socket.extensions });
  socket.send(JSON.stringify({ token }));
});
socket.addEventListener("message", ({ data }) => {
  const message = JSON.parse(data);
  last = message.id ?? last;
  print(message);
});
socket.addEventListener("close", ({ code, reason, wasClean }) => print({ closed: code, reason, wasClean }));
