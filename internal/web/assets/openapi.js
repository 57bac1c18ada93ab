// prose shows a description: paragraphs, and code between backticks.
function prose(text) {
  return (text || "").split(/\n\n+/).filter(Boolean).map((paragraph) =>
    el("p", {}, paragraph.split("`").map((piece, i) => (i % 2 ? el("code", {}, piece) : piece))));
}

// Description is openapi.json with its references followed.
class Description {
  constructor(doc) {
    this.doc = doc;
    this.operations = [];
    for (const [path, item] of Object.entries(doc.paths)) {
      for (const [method, op] of Object.entries(item)) {
        this.operations.push({ ...op, path, method, parameters: (op.parameters || []).map((p) => this.resolve(p)) });
      }
    }
  }

  static async load() {
    const answer = await fetch("openapi.json");
    if (!answer.ok) throw new Error("openapi.json: HTTP " + answer.status);
    return new Description(await answer.json());
  }

  resolve(node) {
    if (!node || !node.$ref) return node;
    return node.$ref.slice(2).split("/").reduce((at, name) => at[name.replaceAll("~1", "/").replaceAll("~0", "~")], this.doc);
  }

  // groups lists the operations by tag, in the document's order of tags.
  groups() {
    return this.doc.tags
      .map((tag) => ({ ...tag, operations: this.operations.filter((op) => op.tags.includes(tag.name)) }))
      .filter((tag) => tag.operations.length > 0);
  }

  // typeName says in a few words what a schema allows.
  typeName(schema) {
    if (!schema) return "any";
    if (schema.$ref) return schema.$ref.split("/").pop();
    if (schema.anyOf) return schema.anyOf.map((s) => this.typeName(s)).join(" or ");
    if (schema.type === "array") return "list of " + this.typeName(schema.items);
    const type = Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type || "any";
    if (schema.const !== undefined) return JSON.stringify(schema.const);
    return schema.enum ? schema.enum.join(" | ") : type;
  }

  // inner is the object that a schema holds, in a list or among alternatives.
  inner(schema) {
    const s = this.resolve(schema);
    if (!s) return null;
    if (s.properties) return s;
    if (s.items) return this.inner(s.items);
    for (const one of s.anyOf || []) {
      const found = this.inner(one);
      if (found) return found;
    }
    return null;
  }

  // fields shows an object's members; deeper ones open when asked for.
  fields(schema) {
    const object = this.inner(schema);
    if (!object) return el("p", { class: "faint" }, this.typeName(schema));
    return el("ul", { class: "fields" }, Object.entries(object.properties).map(([name, s]) => {
      const required = (object.required || []).includes(name);
      const head = [el("span", { class: "name" }, name), el("span", { class: "type" }, this.typeName(s)),
        required ? el("span", { class: "required" }, "required") : null];
      const text = prose(this.resolve(s).description || s.description);
      if (!this.inner(s)) return el("li", {}, head, text);
      const more = el("details", {}, el("summary", {}, head), text);
      more.addEventListener("toggle", () => more.append(this.fields(s)), { once: true });
      return el("li", {}, more);
    }));
  }

  // sample makes a value that a schema allows, with the members it requires.
  sample(schema, depth = 0) {
    const s = this.resolve(schema) || {};
    if (s.const !== undefined) return s.const;
    if (s.enum) return s.enum[0];
    if (s.anyOf) return this.sample(s.anyOf[0], depth);
    switch (Array.isArray(s.type) ? s.type[0] : s.type) {
      case "array": return depth > 5 ? [] : [this.sample(s.items, depth + 1)];
      case "integer": case "number": return 0;
      case "boolean": return false;
      case "string": return s.format === "date-time" ? "2026-01-31T12:00:00Z" : "…";
      case "object": {
        const names = s.required || Object.keys(s.properties || {}).slice(0, 30);
        return Object.fromEntries(names.map((n) => [n, this.sample((s.properties || {})[n], depth + 1)]));
      }
    }
    return null;
  }

  // body is an operation's example, else a sample.
  body(op) {
    const json = op.requestBody && op.requestBody.content["application/json"];
    if (!json) return null;
    return json.example || this.sample(json.schema);
  }
}

// access says which key an operation wants.
function access(op) {
  const names = (op.security || []).flatMap((s) => Object.keys(s));
  if (names.length === 0) return "no key";
  if (!names.includes("admin")) return "client key";
  return names.length === 1 ? "admin key" : "client or admin key";
}

// show replaces the page's content once the description is there.
function show(render) {
  const page = document.getElementById("page");
  Description.load().then(
    (d) => page.replaceChildren(...render(d)),
    (e) => page.replaceChildren(el("p", { class: "bad", role: "alert" }, "The description could not be read: " + e.message)),
  ).finally(() => {
    page.removeAttribute("aria-busy");
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target) {
      target.open = true;
      target.scrollIntoView();
    }
  });
}

function methodBadge(op) { return el("span", { class: "method " + op.method }, op.method); }

// curl is the command line that sends the same request.
function curl(op, url, headers, body) {
  const quote = (s) => "'" + s.replaceAll("'", "'\\''") + "'";
  const lines = ["curl " + (op.method === "get" ? "" : "-X " + op.method.toUpperCase() + " ") + quote(url)];
  for (const [name, value] of Object.entries(headers)) {
    const line = name + ": " + value;
    lines.push("-H " + (value.includes("$MODEL_PROXY_KEY") ? '"' + line + '"' : quote(line))); // the shell fills the key in
  }
  if (body) lines.push("-d " + quote(body));
  return lines.join(" \\\n  ");
}

