package convert

import (
	"encoding/json"
	"slices"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

const customSchema = `{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}`

// customTool gives a tool that takes free text a schema with one text in it, for
// targets that know no such tools. The mender undoes it in the answer.
func (c *conversion) customTool(t llm.Tool) (schema json.RawMessage, description string) {
	if c.custom == nil {
		c.custom = map[string]bool{}
	}
	c.custom[t.Name] = true
	c.notes.emulated(t.Path)
	description = t.Description
	if g := rawjson.Get(t.Schema, "grammar"); g != nil {
		description = strings.TrimSpace(description + "\nThe input follows this grammar: " + str(rawjson.Get(g, "definition")))
	}
	return []byte(customSchema), description
}

// customArgs are the arguments of a call of such a tool.
func customArgs(text string) []byte {
	var o build
	o.open('{')
	o.key("input").str(text)
	o.close('}')
	return o.b
}

// allowedTools are the tools that choice leaves, for targets that cannot be told
// of more tools than may be called.
func (c *conversion) allowedTools(tools []llm.Tool, choice llm.ToolChoice) []llm.Tool {
	if choice.Allowed == nil {
		return tools
	}
	c.notes.emulated("tool_choice")
	var keep []llm.Tool
	for _, t := range tools {
		if slices.Contains(choice.Allowed, t.Name) {
			keep = append(keep, t)
		}
	}
	return keep
}

// serial reports whether the target is to be told to call one tool at a time.
// Models that can do no other refuse to be told.
func (c *conversion) serial(r *llm.Request) bool {
	can := c.x.target.Capabilities.SupportsParallelTools
	return r.Parallel != nil && !*r.Parallel && (can == nil || *can)
}

// opaqueText tells in words what of a vendor's own tools can be told so. What
// cannot is refused.
func (n *notes) opaqueText(k llm.Block) string {
	switch {
	case k.Name == "server_tool_use":
		return ""
	case strings.HasSuffix(k.Name, "_tool_result") && k.Name != "mcp_tool_result":
		n.emulated(k.Path)
		return visibleText(rawjson.Get(k.Raw, "content"))
	}
	n.refuse(k.Path, "the target does not take content of the type "+clean(k.Name))
	return ""
}

// visibleText gathers titles, addresses and texts of a server tool's result.
func visibleText(v []byte) string {
	var lines []string
	var walk func(v []byte)
	walk = func(v []byte) {
		for e := range rawjson.Array(v) {
			walk(e)
		}
		for name, e := range rawjson.Object(v) {
			switch name {
			case "title", "url", "text", "stdout", "stderr", "error_code":
				if s := str(e); s != "" {
					lines = append(lines, s)
				}
			case "content":
				walk(e)
			}
		}
	}
	walk(v)
	return strings.Join(lines, "\n")
}

// errorText is what a tool answered, marked as an error where it is one and does
// not say so itself: OpenAI's protocols have no field for that.
func (n *notes) errorText(text string, k llm.Block) string {
	if !k.IsError || strings.HasPrefix(strings.ToLower(text), "error") {
		return text
	}
	n.emulated(k.Path + ".is_error")
	return "Error: " + text
}

// continuePrefill asks for the rest of an answer whose beginning the client
// gave, where the target knows no other way.
func (c *conversion) continuePrefill(t llm.Turn, text string) string {
	c.notes.emulated(t.Path)
	c.prefill = text
	return "Continue your reply exactly from where this text ends, without repeating it:\n" + text
}

func joinLines(a, b string) string {
	if a == "" {
		return b
	}
	return a + "\n" + b
}
