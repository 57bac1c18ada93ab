// The console: how the gateway is, who used what, and what became of each
// request. It shows what /health/detailed and /admin answer to the admin key,
// which is kept for this tab only.

const keyName = "model-proxy-admin-key";
const periods = { "1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days" };
const groups = { model: "by model", client: "by client", provider: "by provider", key: "by provider key" };
const metrics = {
  requests: { label: "Requests", value: (row) => row.requests, show: count },
  errors: { label: "Errors", value: (row) => row.errors, show: count },
  tokens: { label: "Tokens", value: (row) => row.prompt_tokens + row.completion_tokens, show: count },
  cost: { label: "Cost", value: (row) => (row.cost_nano_usd || 0) / 1e9, show: dollars },
};

// choices stand in the address, so that a view can be kept and passed on.
const choices = { since: "24h", by: "model", metric: "requests", request: "" };

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(choices)) if (given.has(name)) choices[name] = given.get(name);
  if (!periods[choices.since]) choices.since = "24h";
  if (!groups[choices.by]) choices.by = "model";
  if (!metrics[choices.metric]) choices.metric = "requests";
}

function choose(change) {
  Object.assign(choices, change);
  history.replaceState(null, "", "#" + new URLSearchParams(choices));
  draw();
}

function count(n) { return n === null || n === undefined ? "–" : n.toLocaleString("en"); }
function dollars(n) { return "$" + n.toLocaleString("en", { maximumFractionDigits: n < 1 ? 6 : 2 }); }
function cost(nano) { return nano === null ? "–" : dollars(nano / 1e9); }
function ms(n) { return n === null || n === undefined ? "–" : n < 1000 ? n.toFixed(n < 10 ? 1 : 0) + " ms" : (n / 1000).toFixed(2) + " s"; }
function share(part, whole) { return whole ? (100 * part / whole).toFixed(1) + " %" : "–"; }

class Refused extends Error {}

// ask reads one of the gateway's pages with the admin key.
async function ask(path) {
  const answer = await fetch(path, { headers: { Authorization: "Bearer " + sessionStorage.getItem(keyName) } });
  if (answer.status === 401) throw new Refused("The gateway does not accept this key.");
  const body = await answer.json();
  if (!answer.ok && !body.components) throw new Error(body.error ? body.error.message : "HTTP " + answer.status);
  return body;
}

const usage = async (by) => (await ask("admin/usage?" + new URLSearchParams({ by, since: choices.since }))).data;
const keys = async () => { // null in a process without workers
  try {
    return (await ask("admin/keys")).data;
  } catch (error) {
    if (error instanceof Refused) throw error;
    return null;
  }
};
const records = async (query) => (await ask("admin/records?" + new URLSearchParams(query))).data;

function put(...content) {
  const page = document.getElementById("page");
  page.replaceChildren(...content.flat(Infinity));
  page.removeAttribute("aria-busy");
}

function signIn(message) {
  const key = el("input", { id: "key", type: "password", autocomplete: "off", required: "", "aria-label": "Admin key" });
  put(el("form", { class: "sign-in", onsubmit: (event) => {
    event.preventDefault();
    sessionStorage.setItem(keyName, key.value.trim());
    draw();
  } }, el("h1", {}, "model-proxy"), el("p", {}, "The console wants the gateway's ADMIN_API_KEY. It is kept until this tab is closed."),
  key, el("button", {}, "Sign in"), message ? el("p", { class: "bad", role: "alert" }, message) : null));
  key.focus();
}

function signOut() {
  sessionStorage.removeItem(keyName);
  signIn();
}

let drawing = 0; // number of the newest drawing: an older one that comes late is dropped

async function draw() {
  if (!sessionStorage.getItem(keyName)) return signIn();
  const mine = ++drawing;
  try {
    const bucket = choices.since === "7d" || choices.since === "30d" ? "day" : "hour";
    const query = { limit: 50, since: choices.since };
    if (choices.request) query.request_id = choices.request;
    const [health, pool, [total], rows, series, requests] = await Promise.all([ask("health/detailed"), keys(), usage(""), usage(choices.by),
      usage(bucket + "," + choices.by), records(query)]);
    if (mine !== drawing) return;
    put(header(), el("main", {}, overview(health, total), chart(series, bucket), table(rows), requestList(requests), keyList(pool), components(health)));
  } catch (error) {
    if (mine !== drawing) return;
    if (error instanceof Refused) {
      sessionStorage.removeItem(keyName);
      return signIn(error.message);
    }
    put(header(), el("main", {}, el("p", { class: "bad", role: "alert" }, "The figures cannot be shown: " + error.message)));
  }
}

function header() {
  const select = (name, options, label) => el("select", { id: name, "aria-label": label, onchange: (e) => choose({ [name]: e.target.value }) },
    Object.entries(options).map(([value, text]) => el("option", { value, selected: choices[name] === value }, text)));
  return el("header", {}, el("h1", {}, "model-proxy"), select("since", periods, "Period"), select("by", groups, "Group"),
    el("button", { id: "refresh", onclick: draw }, "Refresh"), el("a", { href: "docs" }, "API"), el("button", { onclick: signOut }, "Sign out"));
}

function overview(health, total) {
  const t = total || { requests: 0, errors: 0, prompt_tokens: 0, cached_read_tokens: 0, completion_tokens: 0, cost_nano_usd: null };
  const card = (label, value, more) => el("div", { class: "card" }, el("span", { class: "faint" }, label), el("strong", {}, value), el("small", { class: "faint" }, more));
  const queue = (health.components.queue || {}).detail || {};
  return el("section", { class: "cards", id: "overview" },
    card("Gateway", health.status, "configuration " + health.config_revision),
    card("Requests", count(t.requests), "errors " + share(t.errors, t.requests)),
    card("Tokens", count(t.prompt_tokens + t.completion_tokens), share(t.cached_read_tokens, t.prompt_tokens) + " of the prompt from caches"),
    card("Cost", cost(t.cost_nano_usd), t.unpriced ? count(t.unpriced) + " requests without a price" : "every request has a price"),
    card("Time in all", ms(t.p50_ms), "p95 " + ms(t.p95_ms) + ", p99 " + ms(t.p99_ms)),
    card("First token", ms(t.ttft_p50_ms), "p95 " + ms(t.ttft_p95_ms)),
    card("Queue", count(queue.depth), "oldest " + ms(queue.oldest_ms)));
}

// chart stacks a metric over time; the smallest groups share one colour.
function chart(series, bucket) {
  const metric = metrics[choices.metric];
  const sums = {};
  for (const row of series) sums[row[choices.by]] = (sums[row[choices.by]] || 0) + metric.value(row);
  const names = Object.keys(sums).sort((a, b) => sums[b] - sums[a]);
  const colour = (name) => Math.min(names.indexOf(name), 6);
  const columns = buckets(bucket);
  for (const row of series) {
    const at = columns.get(row[bucket]);
    if (at) at.push(row);
  }
  const height = (rows) => rows.reduce((sum, row) => sum + metric.value(row), 0);
  const top = Math.max(...[...columns.values()].map(height)) || 1;
  const width = 1000 / columns.size;
  const bars = [...columns].map(([label, rows], i) => {
    let y = 200;
    return rows.sort((a, b) => colour(a[choices.by]) - colour(b[choices.by])).map((row) => {
      const h = 200 * metric.value(row) / top;
      y -= h;
      return svg("rect", { class: "s" + colour(row[choices.by]), x: i * width + 1, y, width: Math.max(width - 2, 1), height: h },
        svg("title", {}, label + "\n" + (row[choices.by] || "none") + ": " + metric.show(metric.value(row))));
    });
  });
  return el("section", { id: "chart" },
    el("div", { class: "tabs", role: "group", "aria-label": "Figure" }, Object.entries(metrics).map(([name, m]) =>
      el("button", { "aria-pressed": String(name === choices.metric), "data-metric": name, onclick: () => choose({ metric: name }) }, m.label))),
    el("div", { class: "faint top" }, metric.show(top) + " at most in a" + (bucket === "hour" ? "n hour" : " day")),
    svg("svg", { viewBox: "0 0 1000 200", preserveAspectRatio: "none", role: "img", "aria-label": metric.label + " over time" }, bars),
    el("div", { class: "axis faint" }, el("span", {}, [...columns.keys()][0]), el("span", {}, "now (UTC)")),
    el("ul", { class: "legend" }, names.slice(0, 6).map((name) => el("li", { class: "s" + colour(name) }, name || "none")),
      names.length > 6 ? el("li", { class: "s6" }, names.length - 6 + " others") : null));
}

// buckets are the columns of the chart, oldest first, by the label they have in
// the rows.
function buckets(bucket) {
  const hours = { "1h": 1, "24h": 24, "7d": 7 * 24, "30d": 30 * 24 }[choices.since];
  const step = bucket === "hour" ? 3600e3 : 86400e3;
  const columns = new Map();
  for (let at = Math.floor((Date.now() - hours * 3600e3) / step) * step; at <= Date.now(); at += step) {
    const text = new Date(at).toISOString();
    columns.set(bucket === "hour" ? text.slice(0, 13) + ":00:00Z" : text.slice(0, 10), []);
  }
  return columns;
}

function svg(tag, attributes, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children.flat(Infinity));
  return e;
}

// grid is a table whose columns say how to show a row.
function grid(id, columns, rows, open) {
  return el("div", { class: "scroll" }, el("table", { id }, el("thead", {}, el("tr", {}, Object.keys(columns).map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map((row) => {
      const line = el("tr", open ? { tabindex: "0", class: "opens" } : {}, Object.values(columns).map((show) => el("td", {}, show(row))));
      if (open) {
        line.addEventListener("click", () => open(row, line));
        line.addEventListener("keydown", (event) => { if (event.key === "Enter") open(row, line); });
      }
      return line;
    }))));
}

function table(rows) {
  return el("section", {}, el("h2", {}, "Usage " + groups[choices.by]), grid("usage", {
    [choices.by]: (r) => r[choices.by] || "none", requests: (r) => count(r.requests), errors: (r) => share(r.errors, r.requests),
    prompt: (r) => count(r.prompt_tokens), "cache read": (r) => count(r.cached_read_tokens), "cache written": (r) => count(r.cached_write_tokens),
    completion: (r) => count(r.completion_tokens), reasoning: (r) => count(r.reasoning_tokens), cost: (r) => cost(r.cost_nano_usd),
    p50: (r) => ms(r.p50_ms), p95: (r) => ms(r.p95_ms), p99: (r) => ms(r.p99_ms), "first token p95": (r) => ms(r.ttft_p95_ms),
  }, rows));
}

function requestList(rows) {
  const filter = el("input", { id: "request", type: "search", placeholder: "Request id", "aria-label": "Request id", value: choices.request,
    onchange: (event) => choose({ request: event.target.value.trim() }) });
  return el("section", {}, el("h2", {}, "Requests"), filter, rows.length ? grid("requests", {
    time: (r) => r.time.slice(0, 19).replace("T", " "), request: (r) => el("code", {}, r.request_id), client: (r) => r.client_id, model: (r) => r.model,
    provider: (r) => r.provider || "–", outcome: (r) => el("span", { class: r.outcome === "ok" ? "" : "bad" }, r.outcome + " " + r.status),
    attempts: (r) => r.attempts, tokens: (r) => count(r.prompt_tokens + r.completion_tokens), cost: (r) => cost(r.cost_nano_usd),
    queued: (r) => ms(r.queue_ms), "first token": (r) => ms(r.ttft_ms), "in all": (r) => ms(r.total_ms),
  }, rows, details) : el("p", { class: "faint" }, "None in this time."));
}

// details opens below a request what is known of it and of its attempts, and
// closes it again.
async function details(request, line) {
  const next = line.nextElementSibling;
  if (next && next.className === "details") return next.remove();
  const cell = el("td", { colspan: line.children.length }, "…");
  line.after(el("tr", { class: "details" }, cell));
  try {
    const all = await records({ request_id: request.request_id, attempts: "1", limit: 100 });
    const attempts = all.filter((a) => a.job_id === request.job_id).sort((a, b) => a.attempt - b.attempt);
    cell.replaceChildren(...[request.error_message ? el("p", { class: "bad" }, request.error_message) : null, attempts.length ? grid("", {
      attempt: (a) => a.attempt, provider: (a) => a.provider, model: (a) => a.upstream_model, key: (a) => el("code", {}, a.key_fp),
      outcome: (a) => [a.outcome, a.status || "", a.timer].filter(Boolean).join(" "), action: (a) => a.action || "–", error: (a) => a.error_message || "–",
      "first token": (a) => ms(a.ttft_ms), "in all": (a) => ms(a.total_ms), worker: (a) => a.worker_id,
    }, attempts) : el("p", { class: "faint" }, "No upstream was called."), el("pre", {}, JSON.stringify(request, null, 2))].filter(Boolean));
  } catch (error) {
    cell.replaceChildren(el("p", { class: "bad" }, error.message));
  }
}

// keyList shows which provider keys rest, why and for how long.
function keyList(pool) {
  if (!pool) return [];
  const rest = (r) => [ms(r.seconds * 1000), r.model && "for " + r.model, r.scope === "provider" && "the whole provider", r.scope === "breaker" && "every key", r.cause, r.status].filter(Boolean).join(", ");
  return el("section", {}, el("h2", {}, "Provider keys"), grid("keys", {
    provider: (k) => k.provider, key: (k) => el("code", {}, k.key_fp), ends: (k) => k.last_four && "…" + k.last_four, variable: (k) => k.env,
    state: (k) => el("span", { class: k.state === "usable" ? "" : "bad" }, k.state), rests: (k) => k.rests.map(rest).join("; "),
  }, pool));
}

function components(health) {
  return el("section", {}, el("h2", {}, "Components"), grid("components", {
    component: (c) => c.name, status: (c) => el("span", { class: c.status === "ok" ? "" : "bad" }, c.status),
    detail: (c) => (c.detail === undefined ? "" : el("code", {}, typeof c.detail === "string" ? c.detail : JSON.stringify(c.detail))),
  }, Object.entries(health.components).sort().map(([name, c]) => ({ name, ...c }))));
}

addEventListener("hashchange", () => { readAddress(); draw(); });
readAddress();
draw();
