// What the server is asked, and what it tells as it comes.

export async function ask(path, options = {}) {
  const response = await fetch(path, options);
  const text = await response.text();
  let found;
  try { found = JSON.parse(text); } catch { throw new Error(text.trim() || `the server answered ${response.status}`); }
  if (!response.ok) throw new Error(found.error || `the server answered ${response.status}`);
  return found;
}

export function post(path, body = {}) {
  return ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

export const sweepPath = name => `/api/sweeps/${encodeURIComponent(name)}`;
export const sweepLink = name => `#/sweep/${encodeURIComponent(name)}`;
export const trialLink = (name, trial) => `${sweepLink(name)}/trial/${encodeURIComponent(trial)}`;

const RETRY_MS = 2000; // of a sweep that is not there yet
const HIDDEN_MS = 60000; // that a page nobody sees stays connected

// Calls `start` when connected, and again after each interruption; then `tell` with each message.
export function listen(path, start, tell) {
  let source = null, hiding = null, closed = false, ready = false, early = [];
  const show = text => { document.getElementById("link").textContent = text; };
  function open() {
    source = new EventSource(path);
    source.onopen = async () => {
      ready = false; early = [];
      show("");
      try { await start(); } catch (error) { show(error.message); return; }
      ready = true;
      early.splice(0).forEach(handle);
    };
    source.onmessage = event => {
      const message = JSON.parse(event.data);
      if (ready) handle(message); else early.push(message);
    };
    source.onerror = async () => {
      show("not connected: trying again …");
      if (source.readyState != EventSource.CLOSED) return; // it tries by itself
      source = null;
      try { await start(); } catch (error) { show(error.message); }
      if (!closed) setTimeout(() => { if (!source && !closed) open(); }, RETRY_MS);
    };
  }
  function handle(message) {
    if (message.kind == "trouble") show(message.text);
    else if (message.kind == "restart") { source.close(); open(); }
    else tell(message);
  }
  function visibility() {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(() => { source?.close(); source = null; }, HIDDEN_MS);
    else if (!source && !closed) open();
  }
  document.addEventListener("visibilitychange", visibility);
  open();
  return () => {
    closed = true;
    clearTimeout(hiding);
    document.removeEventListener("visibilitychange", visibility);
    source?.close();
    show("");
  };
}
