// The server renders the overview. This script replaces the old one with each that arrives.
const status = document.getElementById("status");
const source = new EventSource("/live");
source.addEventListener("overview", (event) => {
  document.getElementById("overview").innerHTML = event.data;
});
source.onopen = () => (status.textContent = "live");
source.onerror = () => (status.textContent = source.readyState === EventSource.CLOSED ? "stopped: reload the page" : "reconnecting");
