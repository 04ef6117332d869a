// The server renders; this only puts what it sends into its place.
const status = document.getElementById("status");
const source = new EventSource("/live");
source.addEventListener("overview", (event) => {
  document.getElementById("overview").innerHTML = event.data;
});
source.onopen = () => (status.textContent = "live");
source.onerror = () => (status.textContent = source.readyState === EventSource.CLOSED ? "ended: load the page anew" : "reconnecting");
