package convert

import (
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// Responses groups tools under namespaces, as the Codex CLI does with those of
// its agents and of MCP servers; a call then names the tool and its namespace.
// The other protocols know tools by one name each: a grouped tool goes as
// "namespace__name", and what is called so is split again in the answer.

// namespace reads a group of tools. What it says of itself goes before what its
// first tool says.
func (p *responsesParser) namespace(path string, v []byte) {
	space, about := str(rawjson.Get(v, "name")), str(rawjson.Get(v, "description"))
	if space == "" {
		p.n.invalid(path, "the namespace has no name")
		return
	}
	p.n.emulated(path)
	i := 0
	for tool := range rawjson.Array(rawjson.Get(v, "tools")) {
		t := llm.Tool{Path: at(path+".tools", i), Namespace: space, Description: about}
		if name := str(rawjson.Get(tool, "name")); name != "" {
			t.Name = qualified(space, name)
		}
		p.tool(t, tool)
		about = ""
		i++
	}
}

// qualified is the name of a tool outside its namespace, which may be "". A
// namespace that ends in the separator, as "mcp__files__" does, gets no second.
func qualified(space, name string) string {
	if space == "" || strings.HasSuffix(space, "__") {
		return space + name
	}
	return space + "__" + name
}

// qualifiedName is the qualified name of the tool that v, a choice, names.
func qualifiedName(v []byte) string {
	return qualified(str(rawjson.Get(v, "namespace")), str(rawjson.Get(v, "name")))
}

// grouped is a tool's name within a namespace, and that namespace.
type grouped struct{ name, space string }

// noteNamespaces remembers for the answer which tools stood in namespaces.
func (c *conversion) noteNamespaces(tools []llm.Tool) {
	for _, t := range tools {
		if t.Namespace == "" {
			continue
		}
		if c.grouped == nil {
			c.grouped = map[string]grouped{}
		}
		c.grouped[t.Name] = grouped{str(rawjson.Get(t.Raw, "name")), t.Namespace}
	}
}

// ungrouped undoes qualified for the name of a called tool.
func (c *conversion) ungrouped(name string) grouped {
	if g, ok := c.grouped[name]; ok {
		return g
	}
	return grouped{name: name}
}
