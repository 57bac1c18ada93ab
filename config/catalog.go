package config

import (
	"reflect"
	"regexp"
	"strings"

	"model-proxy/internal/llm"
)

// catalogFile is the form of catalog.json: what is known about models. Names
// are in lower case, with or without the vendor before a slash. One that ends
// in * stands for all names that begin so and are not listed themselves; of
// several the longest counts.
type catalogFile struct {
	Date        string                      `json:"date"`
	Source      string                      `json:"source"`
	Description note                        `json:"description"`
	Models      map[string]llm.Capabilities `json:"models"`
}

// catalog looks up what conversion must know about an upstream model. Earlier
// files win over later ones, field by field.
type catalog struct {
	files []catalogFile
}

// capabilities returns what is known about a provider's model: the provider
// file's own word first, then the operator's catalogue, then the shipped one.
func (c *catalog) capabilities(p *Provider, model string) llm.Capabilities {
	var known llm.Capabilities
	candidates := candidateNames(p.Vendor, model)
	for _, name := range append([]string{model}, candidates...) {
		if own, ok := p.ModelOverrides[name]; ok && own.Capabilities != nil {
			known = *own.Capabilities
			break
		}
	}
	for _, f := range c.files {
		if found, ok := f.lookup(candidates); ok {
			fillIn(&known, found)
		}
	}
	return known
}

func (f catalogFile) lookup(candidates []string) (llm.Capabilities, bool) {
	for _, name := range candidates {
		if found, ok := f.Models[name]; ok {
			return found, true
		}
	}
	for _, name := range candidates {
		longest := ""
		for pattern := range f.Models {
			prefix, open := strings.CutSuffix(pattern, "*")
			if open && strings.HasPrefix(name, prefix) && len(pattern) > len(longest) {
				longest = pattern
			}
		}
		if longest != "" {
			return f.Models[longest], true
		}
	}
	return llm.Capabilities{}, false
}

// dateSuffix matches -20250929, @20250929, -2024-08-06 and the aliases that
// stand for a date.
var dateSuffix = regexp.MustCompile(`[-@](\d{8}|\d{4}-\d{2}-\d{2}|latest)$`)

// candidateNames are the names under which a model may stand, best first: as
// written, without vendor prefix, without variant and date suffix, and with
// dashes for dots, as some hosts write claude-opus-4.5.
func candidateNames(vendor, model string) []string {
	model = strings.ToLower(model)
	out := []string{strings.ToLower(vendor) + "/" + model, model}
	add := func(name string) string {
		if name != out[len(out)-1] {
			out = append(out, name)
		}
		return name
	}
	name := add(model[strings.LastIndexByte(model, '/')+1:])
	name, _, _ = strings.Cut(name, ":") // :free and the like
	name = add(name)
	name = add(dateSuffix.ReplaceAllString(name, ""))
	add(strings.ReplaceAll(name, ".", "-"))
	return out
}

// fillIn sets the fields of known that are not known yet.
func fillIn(known *llm.Capabilities, more llm.Capabilities) {
	dst, src := reflect.ValueOf(known).Elem(), reflect.ValueOf(more)
	for i := range dst.NumField() {
		if dst.Field(i).IsZero() {
			dst.Field(i).Set(src.Field(i))
		}
	}
}

// readCatalog checks one catalogue.
func readCatalog(d *document) catalogFile {
	var f catalogFile
	d.decode(&f)
	for name, c := range f.Models {
		d.checkCapabilities("models."+name, c)
	}
	return f
}
