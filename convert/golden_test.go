package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

var update = flag.Bool("update", false, "rewrite what the golden files expect")

// short names of the folders under testdata: <client>_to_<upstream>.
var shortNames = map[string]llm.Protocol{"chat": llm.OpenAI, "messages": llm.Anthropic, "responses": llm.Responses}

// goldenTarget is a file's target.json.
type goldenTarget struct {
	Provider, Vendor string
	Mode             Mode
	ContentBlocks    bool // of the request
	Capabilities     llm.Capabilities
	Quirks           llm.Quirks
}

// A golden file holds what goes in: request.json (the client's), target.json (the
// route, optional), answer.json or answer.sse (the upstream's), status (of an
// error answer). And what comes out: upstream.json, warnings, client.json or
// client.sse, usage.json, error.json (what the client is told).
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*_to_*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files, error %v", err)
	}
	for _, file := range files {
		name, _ := strings.CutPrefix(strings.TrimSuffix(file, ".txtar"), "testdata/")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			archive := txtar.Parse(data)
			in := map[string]string{}
			for _, f := range archive.Files {
				in[f.Name] = string(f.Data)
			}
			from, to, _ := strings.Cut(filepath.Base(filepath.Dir(file)), "_to_")
			got := goldenRun(t, in, shortNames[from], shortNames[to])
			if *update {
				writeGolden(t, file, archive, got)
				return
			}
			for _, out := range goldenOutputs {
				if d := cmp.Diff(in[out], got[out]); d != "" {
					t.Errorf("%s (-want +got):\n%s", out, d)
				}
			}
		})
	}
}

var goldenOutputs = []string{"upstream.json", "warnings", "client.json", "client.sse", "usage.json", "error.json"}

func writeGolden(t *testing.T, file string, archive *txtar.Archive, got map[string]string) {
	t.Helper()
	keep := archive.Files[:0]
	for _, f := range archive.Files {
		if _, output := got[f.Name]; !output && !slices.Contains(goldenOutputs, f.Name) {
			keep = append(keep, f)
		}
	}
	archive.Files = keep
	for _, name := range goldenOutputs {
		if got[name] != "" {
			archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got[name])})
		}
	}
	if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// goldenRun makes the outputs of one file.
func goldenRun(t *testing.T, in map[string]string, from, to llm.Protocol) map[string]string {
	t.Helper()
	var target goldenTarget
	if s := in["target.json"]; s != "" {
		if err := json.Unmarshal([]byte(s), &target); err != nil {
			t.Fatal(err)
		}
	}
	body := []byte(strings.TrimSpace(in["request.json"]))
	out := map[string]string{}
	fail := func(err error) map[string]string {
		var e *llm.Error
		if !errors.As(err, &e) {
			t.Fatalf("error %v, want a *llm.Error", err)
		}
		out["error.json"] += fmt.Sprintf("%d %s\n", e.HTTPStatus(from), AppendError(nil, from, e, "r1"))
		return out
	}
	x, err := New(Input{
		Client: from, Endpoint: endpoints[from], Stream: isTrue(rawjson.Get(body, "stream")), Body: body,
		Model: str(rawjson.Get(body, "model")), Mode: ParseMode(string(target.Mode)), Created: 1700000000, ContentBlocks: target.ContentBlocks,
	}, Target{Protocol: to, Provider: firstOf(target.Provider, "up"), Vendor: target.Vendor, Model: "up-model", Capabilities: target.Capabilities, Quirks: target.Quirks})
	if err != nil {
		return fail(err)
	}
	out["upstream.json"] = pretty(t, x.Body())
	answer, sse, status := in["answer.json"], in["answer.sse"], http.StatusOK
	if s := in["status"]; s != "" {
		if _, err := fmt.Sscan(s, &status); err != nil {
			t.Fatal(err)
		}
	}
	var told string
	switch {
	case status != http.StatusOK:
		return fail(x.Error(status, http.Header{}, []byte(answer)))
	case answer != "":
		var b []byte
		b, err = x.Answer(nil, status, http.Header{}, []byte(answer))
		told = string(b)
	case sse != "":
		told, _, err = relay(x, sse)
	}
	if told != "" {
		if strings.HasPrefix(told, "{") {
			out["client.json"] = pretty(t, []byte(told))
		} else {
			out["client.sse"] = told
		}
	}
	if err != nil {
		return fail(err)
	}
	if w := AppendWarnings(nil, x.Warnings()); len(w) > 0 {
		out["warnings"] = string(w) + "\n"
	}
	if u := x.Usage(); u.Source == llm.UsageProvider {
		b, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		out["usage.json"] = string(b) + "\n"
	}
	return out
}

// pretty lays JSON out for people, one line for each turn, block and tool; its
// numbers and strings stay as they are.
func pretty(t *testing.T, data []byte) string {
	t.Helper()
	if err := rawjson.Validate(data); err != nil {
		t.Fatalf("not JSON: %v: %s", err, data)
	}
	var b bytes.Buffer
	b.WriteString("{")
	first := true
	for name, v := range rawjson.Quoted(data) {
		if !first {
			b.WriteString(",")
		}
		first = false
		b.WriteString("\n  ")
		b.Write(name)
		b.WriteString(": ")
		if rawjson.First(v) == nil {
			b.Write(v)
			continue
		}
		b.WriteString("[")
		sep := ""
		for e := range rawjson.Array(v) {
			b.WriteString(sep + "\n    ")
			b.Write(e)
			sep = ","
		}
		b.WriteString("\n  ]")
	}
	b.WriteString("\n}\n")
	return b.String()
}

// The README's table names every golden file, and none that is not there.
func TestGoldenTable(t *testing.T) {
	readme, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*_to_*/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, f := range files {
		there[strings.TrimSuffix(strings.TrimPrefix(f, "testdata/"), ".txtar")] = true
	}
	named := map[string]bool{}
	for _, name := range regexp.MustCompile(`\b[a-z]+_to_[a-z]+/\w+`).FindAllString(string(readme), -1) {
		named[name] = true
		if !there[name] {
			t.Errorf("README.md names %s, which is not there", name)
		}
	}
	for name := range there {
		if !named[name] {
			t.Errorf("README.md does not name %s", name)
		}
	}
}
