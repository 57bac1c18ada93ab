package convert

import (
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// vendorTools settles the tools of a request that only its client's vendor
// knows: a web search becomes the target's own where the model is said to have
// one (web_search), tools that the client runs itself become functions where the
// provider's file allows it (client_tools_as_functions). What is left the
// builders refuse.
func (c *conversion) vendorTools(r *llm.Request) {
	t := c.x.target
	var keep []llm.Tool
	for _, tool := range r.Tools {
		switch {
		case strings.HasPrefix(tool.Server, "web_search") && t.Capabilities.WebSearch != "":
			c.search = &tool
			c.notes.emulated(tool.Path)
			continue
		case t.Quirks.ClientToolsAsFunctions:
			c.asFunction(&tool)
		}
		keep = append(keep, tool)
	}
	r.Tools = keep
}

// clientTool is a tool of Anthropic's that the client runs: its type is enough
// for Claude to know it, others need to be told.
type clientTool struct{ prefix, description, schema string }

// The schemas follow Anthropic's documentation of the tools.
var clientTools = []clientTool{
	{"bash_", "Runs a command in a bash session that lives on between calls.",
		`{"type":"object","properties":{"command":{"type":"string","description":"The command to run. Needed unless the session is restarted."},` +
			`"restart":{"type":"boolean","description":"true restarts the session."}}}`},
	{"text_editor_", "Views and edits text files.",
		`{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert"]},"path":{"type":"string"},` +
			`"view_range":{"type":"array","items":{"type":"integer"},"description":"view: first and last line; -1 is the end"},` +
			`"file_text":{"type":"string","description":"create: the whole text"},"old_str":{"type":"string","description":"str_replace: what occurs exactly once"},` +
			`"new_str":{"type":"string","description":"str_replace: what takes its place"},"insert_line":{"type":"integer","description":"insert: after which line, 0 for the start"},` +
			`"insert_text":{"type":"string","description":"insert: the text"}},"required":["command","path"]}`},
	{"memory_", "Keeps notes in files under /memories for later conversations. View that folder before anything else.",
		`{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert","delete","rename"]},"path":{"type":"string"},` +
			`"view_range":{"type":"array","items":{"type":"integer"}},"file_text":{"type":"string"},"old_str":{"type":"string"},"new_str":{"type":"string"},` +
			`"insert_line":{"type":"integer"},"insert_text":{"type":"string"},"old_path":{"type":"string","description":"rename: from"},` +
			`"new_path":{"type":"string","description":"rename: to"}},"required":["command"]}`},
}

// asFunction describes a tool that its type alone described.
func (c *conversion) asFunction(t *llm.Tool) {
	for _, known := range clientTools {
		if strings.HasPrefix(t.Server, known.prefix) {
			t.Server, t.Description, t.Schema = "", known.description, []byte(known.schema)
			c.notes.emulated(t.Path)
			return
		}
	}
}

// searchLocation is where a web search is asked from: city, country, region and
// timezone, nil if not told. Chat Completions has it one level deeper.
func searchLocation(t *llm.Tool) []byte {
	at := rawjson.Get(t.Raw, "user_location")
	if deeper := object(rawjson.Get(at, "approximate")); deeper != nil {
		at = deeper
	}
	return object(at)
}

// appendLocation writes the members of a location.
func appendLocation(o *build, location []byte) {
	for _, name := range []string{"city", "country", "region", "timezone"} {
		if v := rawjson.Get(location, name); isString(v) {
			o.key(name).raw(v)
		}
	}
}

// searchDomains are the lists that bound a web search. Only Responses and
// Messages have them, and only the latter knows those to leave out.
func (c *conversion) searchDomains(t *llm.Tool) (allowed, blocked []byte) {
	allowed, blocked = rawjson.Get(t.Raw, "allowed_domains"), rawjson.Get(t.Raw, "blocked_domains")
	if f := rawjson.Get(t.Raw, "filters"); f != nil {
		allowed, blocked = rawjson.Get(f, "allowed_domains"), rawjson.Get(f, "blocked_domains")
	}
	if idle(allowed) {
		allowed = nil
	}
	if idle(blocked) {
		blocked = nil
	}
	wire := c.x.target.Protocol.Wire()
	if blocked != nil && wire != llm.Anthropic || allowed != nil && wire == llm.OpenAI {
		c.notes.refuse(t.Path, "the target's web search cannot be bound to domains so")
	}
	return allowed, blocked
}

// messagesSearch writes the web search as a tool of Messages.
func (c *conversion) messagesSearch(o *build) {
	t := c.search
	o.open('{')
	o.key("type").str(c.x.target.Capabilities.WebSearch)
	o.key("name").str("web_search")
	if size := str(rawjson.Get(t.Raw, "search_context_size")); size != "" && size != "medium" {
		c.notes.dropped(t.Path + ".search_context_size")
	}
	c.typedLocation(o)
	allowed, blocked := c.searchDomains(t)
	if allowed != nil {
		o.key("allowed_domains").raw(allowed)
	}
	if blocked != nil {
		o.key("blocked_domains").raw(blocked)
	}
	o.close('}')
}

// responsesSearch writes it as a tool of Responses.
func (c *conversion) responsesSearch(o *build) {
	t := c.search
	o.open('{')
	o.key("type").str(c.x.target.Capabilities.WebSearch)
	if size := rawjson.Get(t.Raw, "search_context_size"); isString(size) {
		o.key("search_context_size").raw(size)
	}
	c.dropUses()
	c.typedLocation(o)
	if allowed, _ := c.searchDomains(t); allowed != nil {
		o.key("filters").open('{')
		o.key("allowed_domains").raw(allowed)
		o.close('}')
	}
	o.close('}')
}

// chatSearch writes it as web_search_options.
func (c *conversion) chatSearch(o *build) {
	t := c.search
	o.key("web_search_options").open('{')
	if size := rawjson.Get(t.Raw, "search_context_size"); isString(size) {
		o.key("search_context_size").raw(size)
	}
	c.dropUses()
	c.searchDomains(t)
	if location := searchLocation(t); location != nil {
		o.key("user_location").open('{')
		o.key("type").str("approximate")
		o.key("approximate").open('{')
		appendLocation(o, location)
		o.close('}')
		o.close('}')
	}
	o.close('}')
}

func (c *conversion) dropUses() {
	if !idle(rawjson.Get(c.search.Raw, "max_uses")) {
		c.notes.dropped(c.search.Path + ".max_uses")
	}
}

func (c *conversion) typedLocation(o *build) {
	if location := searchLocation(c.search); location != nil {
		o.key("user_location").open('{')
		o.key("type").str("approximate")
		appendLocation(o, location)
		o.close('}')
	}
}
