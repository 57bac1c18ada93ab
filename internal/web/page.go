package web

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"strings"
)

//go:embed assets
var assets embed.FS

// page is one document with its style and script inside.
type page struct {
	html   []byte
	policy string // Content-Security-Policy
}

// newPage puts a page together from assets/shell.html, the shared and its own
// style, and the scripts that it names, of which the last is its own.
func newPage(name, title string, scripts ...string) (page, error) {
	style, err := joined("assets/base.css", "assets/"+name+".css")
	if err != nil {
		return page{}, err
	}
	script, err := joined(scripts...)
	if err != nil {
		return page{}, err
	}
	shell, err := joined("assets/shell.html")
	if err != nil {
		return page{}, err
	}
	// Four places and nothing from outside: html/template would keep every method
	// of every type in the binary, a sixth of its size, for it looks them up by
	// name.
	document := strings.NewReplacer("{{.Name}}", html.EscapeString(name), "{{.Title}}", html.EscapeString(title),
		"{{.Style}}", "<style>"+style+"</style>", "{{.Script}}", "<script>"+script+"</script>").Replace(shell)
	policy := fmt.Sprintf("default-src 'none'; connect-src 'self'; img-src data:; style-src %s; script-src %s; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		hashOf(style), hashOf(script))
	return page{[]byte(document), policy}, nil
}

func joined(files ...string) (string, error) {
	var all []byte
	for _, name := range files {
		b, err := fs.ReadFile(assets, name)
		if err != nil {
			return "", fmt.Errorf("page: %w", err)
		}
		all = append(all, b...)
	}
	return string(all), nil
}

// hashOf names an inline element's content in a content security policy.
func hashOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (p page) serve(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write(p.html) // a reader that is gone needs no answer
}
