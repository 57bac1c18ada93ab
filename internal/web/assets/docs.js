// The reader at /docs: every operation with its schemas and a form that sends it.

const session = { key: sessionStorage.getItem("model-proxy-key") || "", model: "" };

show((d) => [
  el("h1", {}, d.doc.info.title, " ", el("small", { class: "faint" }, d.doc.info.version)),
  prose(d.doc.info.description),
  el("p", { class: "faint" }, "See also the ", el("a", { href: "redoc" }, "reference"), " and ", el("a", { href: "openapi.json" }, "openapi.json"), "."),
  keyBar(),
  d.groups().map((tag) => el("section", { class: "group" }, el("h2", {}, tag.name), prose(tag.description), tag.operations.map((op) => card(d, op)))),
].flat(Infinity));

// keyBar asks for the key, which stays in this tab, and offers the models it may use.
function keyBar() {
  const models = el("select", { id: "model", onchange: () => useModel(models.value) }, el("option", {}, "enter a key first"));
  const key = el("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", value: session.key, placeholder: "client key, or admin key" });
  key.addEventListener("change", () => {
    session.key = key.value.trim();
    sessionStorage.setItem("model-proxy-key", session.key);
    listModels(models);
  });
  if (session.key) listModels(models);
  return el("div", { class: "bar" }, el("label", {}, "Key (kept in this tab only)", key), el("label", {}, "Model for the examples", models));
}

async function listModels(select) {
  const answer = await fetch("v1/models", { headers: keyHeader() }).catch(() => null);
  const names = answer && answer.ok ? (await answer.json()).data.map((m) => m.id) : [];
  select.replaceChildren(...(names.length ? names : ["no models for this key"]).map((n) => el("option", {}, n)));
  if (names.length) useModel(names[0]);
}

// useModel writes the chosen model into every example that names the last one.
function useModel(name) {
  const last = JSON.stringify(session.model || "MODEL");
  for (const area of document.querySelectorAll("textarea")) area.value = area.value.replace(new RegExp('("model":\\s*)' + last.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")), (_, head) => head + JSON.stringify(name));
  session.model = name;
}

function keyHeader() { return session.key ? { Authorization: "Bearer " + session.key } : {}; }

// card is one operation; what is inside is made when it is first opened.
function card(d, op) {
  const e = el("details", { class: "operation", id: op.operationId },
    el("summary", {}, methodBadge(op), el("span", { class: "path" }, op.path), el("span", { class: "faint" }, op.summary), el("span", { class: "lock faint" }, access(op))));
  e.addEventListener("toggle", () => e.append(inside(d, op)), { once: true });
  return e;
}

function inside(d, op) {
  const out = el("div", { class: "inside" }, prose(op.description));
  if (op.requestBody) out.append(el("h3", {}, "Body"), d.fields(op.requestBody.content["application/json"].schema));
  out.append(el("h3", {}, "Answers"), el("ul", { class: "fields" }, Object.entries(op.responses).map(([status, r]) => {
    const [media, content] = Object.entries(r.content || {})[0] || [];
    const head = [el("span", { class: "name" }, status), el("span", { class: "type" }, Object.keys(r.content || {}).join(", ")), el("p", {}, r.description)];
    if (media !== "application/json" || !d.inner(content.schema)) return el("li", {}, head);
    const more = el("details", {}, el("summary", {}, head));
    more.addEventListener("toggle", () => more.append(d.fields(content.schema)), { once: true });
    return el("li", {}, more);
  })));
  out.append(el("h3", {}, "Try it out"), form(d, op));
  return out;
}

function form(d, op) {
  const inputs = op.parameters.map((p) => {
    const input = el("input", { name: p.name, placeholder: p.schema.enum ? p.schema.enum.join(" | ") : p.schema.type, autocomplete: "off" });
    return { p, input, label: el("label", {}, p.name + (p.required ? " (required)" : ""), input, el("small", {}, p.description)) };
  });
  const example = d.body(op);
  const body = example && el("textarea", { "aria-label": "Body", spellcheck: "false" });
  if (body) body.value = JSON.stringify(example, null, 2).replace('"MODEL"', JSON.stringify(session.model || "MODEL"));
  const send = el("button", { type: "button" }, "Send");
  const stop = el("button", { type: "button", class: "quiet", disabled: "" }, "Stop");
  const answer = el("div", { class: "answer", "aria-live": "polite" });
  send.addEventListener("click", async () => {
    const abort = new AbortController();
    stop.onclick = () => abort.abort();
    send.disabled = true;
    stop.disabled = false;
    await exchange(op, inputs, body && body.value, answer, abort.signal);
    send.disabled = false;
    stop.disabled = true;
  });
  return el("div", {}, el("div", { class: "parameters" }, inputs.map((i) => i.label)), body ? el("h3", {}, "Body") : null, body,
    el("div", { class: "actions" }, send, stop), answer);
}

// exchange sends a request and shows the answer as it comes.
async function exchange(op, inputs, body, out, signal) {
  let path = op.path;
  const query = new URLSearchParams();
  const headers = keyHeader();
  if (body) headers["Content-Type"] = "application/json";
  for (const { p, input } of inputs) {
    if (input.value === "") continue;
    if (p.in === "path") path = path.replace("{" + p.name + "}", input.value.split("/").map(encodeURIComponent).join("/"));
    if (p.in === "query") query.set(p.name, input.value);
    if (p.in === "header") headers[p.name] = input.value;
  }
  const url = new URL(path.slice(1) + (query.size ? "?" + query : ""), document.baseURI);
  const shown = { ...headers, ...(session.key ? { Authorization: "Bearer $MODEL_PROXY_KEY" } : {}) };
  const status = el("div", {}, "waiting …");
  const text = el("pre", {});
  out.replaceChildren(el("pre", {}, curl(op, url.href, shown, body)), status, text);
  const began = performance.now();
  try {
    const r = await fetch(url, { method: op.method.toUpperCase(), headers, body, signal });
    const facts = [...r.headers].filter(([n]) => n.startsWith("x-") || n === "retry-after" || n === "content-type").map(([n, v]) => n + ": " + v);
    status.replaceChildren(el("strong", { class: r.ok ? "" : "bad" }, "HTTP " + r.status), el("span", { class: "faint" }, " after " + Math.round(performance.now() - began) + " ms"), el("pre", {}, facts.join("\n")));
    const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let got = await reader.read(); !got.done; got = await reader.read()) text.append(got.value);
    if ((r.headers.get("content-type") || "").startsWith("application/json")) text.textContent = JSON.stringify(JSON.parse(text.textContent), null, 2);
  } catch (e) {
    status.append(el("span", { class: "bad" }, " " + (signal.aborted ? "stopped" : e.message)));
  }
}
