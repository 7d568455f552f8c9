// The page follows its session: the server of this page says over /events when the session has changed, and the page is loaded again.
const state = document.getElementById("state");
const events = new EventSource("/events");
events.addEventListener("state", (event) => {
  const current = JSON.parse(event.data);
  if (current.seen !== state.dataset.seen) {
    events.close();
    location.replace("/");
  }
});
// Signing out changes the session before the browser has left for the server: loading this page again would stop it.
document.addEventListener("submit", () => events.close());
window.addEventListener("pagehide", () => events.close());
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
