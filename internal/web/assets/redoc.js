// The reader at /redoc: a reference in three columns.

show((d) => {
  const groups = d.groups();
  const schemas = Object.entries(d.doc.components.schemas);
  return [navigation(groups, schemas), el("main", {},
    row("about", [el("h1", {}, d.doc.info.title, " ", el("small", { class: "faint" }, d.doc.info.version)), prose(d.doc.info.description)],
      [el("h3", {}, "Address"), el("pre", {}, new URL(".", document.baseURI).href), el("h3", {}, "Elsewhere"),
        el("p", {}, el("a", { href: "docs" }, "Try it out"), " · ", el("a", { href: "openapi.json" }, "openapi.json"))]),
    groups.map((tag) => [row("tag-" + tag.name, [el("h2", {}, tag.name), prose(tag.description)], []), tag.operations.map((op) => operation(d, op))]),
    row("schemas", [el("h2", {}, "Schemas"), el("p", {}, "The objects that the operations take and give.")], []),
    schemas.map(([name, s]) => row("schema-" + name, [el("h3", {}, name), prose(s.description), d.fields(s)],
      [el("h3", {}, "Sample"), el("pre", {}, JSON.stringify(d.sample(s), null, 2))])))];
});

function row(id, text, samples) {
  return el("section", { class: "row", id }, el("div", { class: "text" }, text), el("div", { class: "samples" }, samples));
}

// navigation is the left column; it follows what is being read.
function navigation(groups, schemas) {
  const link = (id, ...content) => el("a", { href: "#" + id, "data-search": content.map((c) => c.textContent || c).join(" ").toLowerCase() }, content);
  const filter = el("input", { type: "search", placeholder: "Filter", "aria-label": "Filter" });
  const nav = el("nav", { "aria-label": "Contents" }, filter, el("h2", {}, "Start"), link("about", "About"),
    groups.map((tag) => [el("h2", {}, tag.name), tag.operations.map((op) => link(op.operationId, methodBadge(op), " ", op.path))]),
    el("h2", {}, "Schemas"), schemas.map(([name]) => link("schema-" + name, name)));
  filter.addEventListener("input", () => {
    for (const a of nav.querySelectorAll("a")) a.hidden = !a.dataset.search.includes(filter.value.toLowerCase());
  });
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((e) => e.isIntersecting)) {
      for (const a of nav.querySelectorAll("a")) {
        if (a.hash === "#" + entry.target.id) a.setAttribute("aria-current", "true");
        else a.removeAttribute("aria-current");
      }
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  requestAnimationFrame(() => document.querySelectorAll("section.row").forEach((s) => seen.observe(s)));
  return nav;
}

function operation(d, op) {
  const text = [el("h3", {}, op.summary), el("div", { class: "where" }, methodBadge(op), el("span", { class: "path" }, op.path), el("span", { class: "faint" }, access(op))), prose(op.description)];
  if (op.parameters.length) {
    text.push(el("h3", {}, "Parameters"), el("ul", { class: "fields" }, op.parameters.map((p) =>
      el("li", {}, el("span", { class: "name" }, p.name), el("span", { class: "type" }, p.in + ", " + d.typeName(p.schema)), p.required ? el("span", { class: "required" }, "required") : null, prose(p.description)))));
  }
  if (op.requestBody) text.push(el("h3", {}, "Body"), d.fields(op.requestBody.content["application/json"].schema));
  text.push(el("h3", {}, "Answers"), el("ul", { class: "fields" }, Object.entries(op.responses).map(([status, r]) =>
    el("li", {}, el("span", { class: "name" }, status), el("span", { class: "type" }, schemaNames(d, r)), prose(r.description)))));
  const body = d.body(op);
  const headers = { ...(op.security ? { Authorization: "Bearer $MODEL_PROXY_KEY" } : {}), ...(body ? { "Content-Type": "application/json" } : {}) };
  const samples = [el("h3", {}, "Request"), el("pre", {}, curl(op, new URL(op.path.slice(1), document.baseURI).href, headers, body && JSON.stringify(body, null, 2)))];
  for (const [media, content] of Object.entries(op.responses["200"].content || {})) {
    if (media === "application/json") samples.push(el("h3", {}, "Answer"), el("pre", {}, JSON.stringify(d.sample(content.schema), null, 2)));
    if (media === "text/event-stream") samples.push(el("h3", {}, "Answer as a stream"), el("pre", {}, "data: " + JSON.stringify(d.sample(content.schema.contentSchema)) + "\n\n…"));
  }
  return row(op.operationId, text, samples);
}

function schemaNames(d, response) {
  return Object.entries(response.content || {}).map(([media, c]) => d.typeName(c.schema.contentSchema || c.schema) + (media === "application/json" ? "" : " (" + media + ")")).join(", ");
}
