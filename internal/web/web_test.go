package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"model-proxy/internal/llm"
)

// every lists one route for each description, so that all of them are tested.
func every() []Route {
	var all []Route
	for name, op := range operations {
		r := Route{Method: http.MethodGet, Path: name}
		if op.request != "" {
			r = Route{Method: http.MethodPost, Path: name, Endpoint: llm.Endpoint(name)}
			if op.event != "" {
				r.Streams = StreamsIfAsked
				all = append(all, Route{http.MethodPost, name + "-stream", llm.Endpoint(name), StreamsAlways})
			}
		}
		all = append(all, r)
	}
	return all
}

func newSite(t *testing.T) *Site {
	t.Helper()
	s, err := New("1.2.3", every())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(h http.HandlerFunc) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h(w, httptest.NewRequest(http.MethodGet, "/", nil))
	return w
}

// The document holds what OpenAPI 3.1 asks for: its own required members, in
// their types; operations with unique names, known tags and security schemes,
// and an answer each; path parameters declared; references that lead somewhere.
func TestDocumentIsValid(t *testing.T) {
	w := get(newSite(t).OpenAPI)
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("content type: got %q, want application/json", got)
	}
	var d document
	dec := json.NewDecoder(strings.NewReader(w.Body.String()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1.") || d.Info.Title == "" || d.Info.Version != "1.2.3" {
		t.Errorf("got version %q, info %+v", d.OpenAPI, d.Info)
	}
	for _, one := range regexp.MustCompile(`"\$ref": "#/components/(schemas|parameters)/([^"]+)"`).FindAllStringSubmatch(w.Body.String(), -1) {
		if known := map[string]map[string]json.RawMessage{"schemas": d.Components.Schemas, "parameters": d.Components.Parameters}[one[1]]; known[one[2]] == nil {
			t.Errorf("%s leads nowhere", one[0])
		}
	}
	seen := map[string]string{}
	for path, item := range d.Paths {
		if !strings.HasPrefix(path, "/") {
			t.Errorf("path %q does not begin with a slash", path)
		}
		for method, op := range item {
			d.check(t, method+" "+path, op)
			if other := seen[op.OperationID]; other != "" {
				t.Errorf("%s and %s are both %s", path, other, op.OperationID)
			}
			seen[op.OperationID] = path
		}
	}
}

// document is an OpenAPI document as far as ours goes.
type document struct {
	OpenAPI string
	Info    struct{ Title, Version, Summary, Description string }
	Servers []struct{ URL, Description string }
	Tags    []struct{ Name, Description string }
	Paths   map[string]map[string]described

	Components struct {
		Schemas         map[string]json.RawMessage
		Parameters      map[string]json.RawMessage
		SecuritySchemes map[string]struct{ Type, Scheme, In, Name, Description string }
	}
}

type described struct {
	OperationID          string
	Tags                 []string
	Summary, Description string
	Security             []map[string][]string
	Parameters           []struct {
		Ref string `json:"$ref"`
	}
	RequestBody *struct {
		Required bool
		Content  map[string]media
	}
	Responses map[string]struct {
		Description string
		Content     map[string]media
	}
}

type media struct {
	Schema  json.RawMessage
	Example json.RawMessage
}

func (d *document) check(t *testing.T, name string, op described) {
	t.Helper()
	if op.OperationID == "" || op.Summary == "" {
		t.Errorf("%s has no operationId or no summary", name)
	}
	for _, tag := range op.Tags {
		if !slices.ContainsFunc(d.Tags, func(k struct{ Name, Description string }) bool { return k.Name == tag }) {
			t.Errorf("%s: tag %q is not declared", name, tag)
		}
	}
	for _, one := range op.Security {
		for scheme := range one {
			if _, ok := d.Components.SecuritySchemes[scheme]; !ok {
				t.Errorf("%s: security scheme %q is not declared", name, scheme)
			}
		}
	}
	for _, p := range regexp.MustCompile(`\{([^}]+)\}`).FindAllStringSubmatch(name, -1) {
		if !slices.ContainsFunc(op.Parameters, func(have struct {
			Ref string `json:"$ref"`
		}) bool {
			return have.Ref == "#/components/parameters/"+p[1]
		}) {
			t.Errorf("%s does not declare its parameter %s", name, p[1])
		}
	}
	if len(op.Responses) == 0 {
		t.Errorf("%s has no answer", name)
	}
	for status, r := range op.Responses {
		if r.Description == "" || !regexp.MustCompile(`^([1-5]\d\d|default)$`).MatchString(status) {
			t.Errorf("%s: answer %q with description %q", name, status, r.Description)
		}
	}
}

// Every schema is one by JSON Schema 2020-12, and every example fits its own.
func TestSchemasAreValid(t *testing.T) {
	raw := get(newSite(t).OpenAPI).Body.Bytes()
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("openapi.json", whole); err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	for name := range d.Components.Schemas {
		if _, err := c.Compile("openapi.json#/components/schemas/" + name); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
	for path, item := range d.Paths {
		for method, op := range item {
			if op.RequestBody == nil {
				continue
			}
			content := op.RequestBody.Content["application/json"]
			schema, err := c.Compile("openapi.json#/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + method + "/requestBody/content/application~1json/schema")
			if err != nil {
				t.Fatal(err)
			}
			example, err := jsonschema.UnmarshalJSON(bytes.NewReader(content.Example))
			if err != nil {
				t.Fatalf("%s: example: %v", path, err)
			}
			if err := schema.Validate(example); err != nil {
				t.Errorf("%s: example: %v", path, err)
			}
		}
	}
}

// Everything that the document names in its components is used.
func TestNothingIsLeftOver(t *testing.T) {
	text := get(newSite(t).OpenAPI).Body.String()
	var d struct {
		Components struct {
			Schemas    map[string]json.RawMessage
			Parameters map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	for name := range d.Components.Schemas {
		if !strings.Contains(text, `"#/components/schemas/`+name+`"`) && !strings.Contains(text, "#/components/schemas/"+name+"\\") {
			t.Errorf("schema %s is used by nothing", name)
		}
	}
	for name := range d.Components.Parameters {
		if !strings.Contains(text, `"#/components/parameters/`+name+`"`) {
			t.Errorf("parameter %s is used by nothing", name)
		}
	}
	if got := strings.Count(text, `"operationId"`); got != len(every()) {
		t.Errorf("got %d operations, want %d", got, len(every()))
	}
}

func TestRouteWithoutDescriptionIsAnError(t *testing.T) {
	_, err := New("1", []Route{{Method: http.MethodGet, Path: "/new"}})
	if err == nil || err.Error() != "GET /new has no description" {
		t.Errorf("got %v, want that GET /new has no description", err)
	}
}

// The pages hold everything they need, and say so to the browser.
func TestPagesAreWhole(t *testing.T) {
	s := newSite(t)
	outside := regexp.MustCompile(`(?:src|href)="?(?:https?:)?//|@import|[ :]url\(|fetch\("?(?:https?:)?//`)
	for name, h := range map[string]http.HandlerFunc{"docs": s.Docs, "redoc": s.Redoc, "console": s.Console} {
		w := get(h)
		if m := outside.FindString(w.Body.String()); m != "" {
			t.Errorf("%s refers to the outside: %q", name, m)
		}
		policy := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "connect-src 'self'", "script-src 'sha256-", "style-src 'sha256-", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy %q lacks %s", name, policy, want)
			}
		}
		if got := w.Header().Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("%s: got content type %q", name, got)
		}
	}
}
