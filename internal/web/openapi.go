package web

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

//go:embed schemas.json
var schemaFile []byte

const about = `One gateway in front of every LLM provider: clients speak the OpenAI or the Anthropic API with one key.

Send the key as ` + "`Authorization: Bearer KEY`, `Authorization: KEY` or `x-api-key: KEY`" + `. Every answer carries ` + "`X-Request-Id`" + `;
answers of models also say which way the request went (` + "`X-Model-Proxy-Provider`, `-Model`, `-Attempts`, `-Queue-Ms`" + `) and how much is
left of the client's limits (` + "`X-RateLimit-Limit|Remaining|Reset-Requests|Tokens`" + `). 429 and 503 carry ` + "`Retry-After`" + `.`

// describe makes the OpenAPI document of the routes.
func describe(version string, routes []Route) (object, error) {
	var written map[string]json.RawMessage // as they stand: their members' order is for readers
	if err := json.Unmarshal(schemaFile, &written); err != nil {
		return nil, fmt.Errorf("schemas of the API description: %w", err)
	}
	schemas := recordSchemas()
	for name, s := range written {
		schemas[name] = s
	}
	paths := object{}
	for _, r := range routes {
		name := string(r.Endpoint)
		if name == "" {
			name = r.Path
		}
		op, ok := operations[name]
		if !ok {
			return nil, fmt.Errorf("%s %s has no description", r.Method, r.Path)
		}
		item, ok := paths[r.Path].(object)
		if !ok {
			item = object{}
			paths[r.Path] = item
		}
		item[strings.ToLower(r.Method)] = op.describe(r)
	}
	var groups []object
	for _, t := range tags {
		groups = append(groups, object{"name": t.name, "description": t.description})
	}
	return object{
		"openapi": "3.1.0",
		"info": object{"title": "model-proxy", "version": version, "summary": "One gateway in front of every LLM provider",
			"description": about},
		"servers": []object{{"url": "/", "description": "This gateway"}},
		"tags":    groups,
		"paths":   paths,
		"components": object{
			"schemas":    schemas,
			"parameters": namedParameters(),
			"securitySchemes": object{
				"bearer":  object{"type": "http", "scheme": "bearer", "description": "A client key; the word Bearer may be left out."},
				"xApiKey": object{"type": "apiKey", "in": "header", "name": "x-api-key", "description": "A client key, as Anthropic's clients send it."},
				"admin":   object{"type": "http", "scheme": "bearer", "description": "ADMIN_API_KEY."},
			},
		},
	}, nil
}

func namedParameters() object {
	all := object{}
	for name, p := range parameters {
		named := object{"name": name}
		maps.Copy(named, p)
		all[name] = named
	}
	return all
}

// describe makes the OpenAPI operation of one route.
func (op operation) describe(r Route) object {
	out := object{"operationId": operationID(r), "tags": []string{op.tag}, "summary": op.summary, "responses": op.responses(r)}
	description := op.description
	if r.Streams == StreamsAlways {
		out["summary"] = op.summary + ", always streamed"
		description += streamed
	}
	if description != "" {
		out["description"] = strings.TrimSpace(description)
	}
	if keys := op.security(); keys != nil {
		out["security"] = keys
	}
	var list []object
	for _, name := range op.parameters {
		list = append(list, object{"$ref": "#/components/parameters/" + name})
	}
	if list != nil {
		out["parameters"] = list
	}
	if op.request != "" {
		content := object{"schema": ref(op.request)}
		if op.example != "" {
			content["example"] = json.RawMessage(op.example)
		}
		out["requestBody"] = object{"required": true, "content": object{"application/json": content}}
	}
	return out
}

// operationID is the method and the path's words: postV1ChatCompletions.
func operationID(r Route) string {
	id := strings.ToLower(r.Method)
	for _, word := range strings.FieldsFunc(r.Path, func(c rune) bool { return strings.ContainsRune("/{}-_.", c) }) {
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}

func (op operation) security() []object {
	client := []object{{"bearer": []string{}}, {"xApiKey": []string{}}}
	admin := object{"admin": []string{}}
	switch op.access {
	case clientKey:
		return client
	case adminKey:
		return []object{admin}
	case eitherKey:
		return append(client, admin)
	}
	return nil
}

func (op operation) responses(r Route) object {
	out := object{"200": object{"description": "The answer", "content": op.content(r)}}
	failure := "OpenAIError"
	if op.errors != "" {
		failure = op.errors
	}
	add := func(status, description string) {
		out[status] = object{"description": description, "content": object{"application/json": object{"schema": ref(failure)}}}
	}
	if op.access != open {
		add("401", "The key is missing or not valid")
	}
	switch {
	case op.request != "":
		add("400", "The request is at fault, or the provider says so")
		add("404", "No such model, or it is not open to this client")
		add("413", "The body is larger than MAX_REQUEST_BYTES")
		add("429", "A limit is reached, or every key rests; Retry-After says for how long")
		add("502", "No provider could be reached, or none accepts the gateway's credentials")
		add("503", "No room in the queue, or no queue; Retry-After says when to try again")
		add("504", "Out of time")
		add("default", "What the provider answered, in this protocol's shape")
	case op.access == adminKey:
		add("400", "The query asks for what there is not")
		add("404", "No ADMIN_API_KEY is configured")
		add("503", "This process has no store of records; the message says what to set")
	case strings.Contains(r.Path, "{"):
		add("404", "There is none of that name")
	}
	if op.unavailable != "" {
		out["503"] = object{"description": "Unhealthy", "content": object{"application/json": object{"schema": ref(op.unavailable)}}}
	}
	return out
}

// content is what a 200 carries, by media type.
func (op operation) content(r Route) object {
	if op.answer == "" {
		media := "text/html"
		if r.Path == "/metrics" {
			media = "text/plain"
		}
		return object{media: object{"schema": object{"type": "string"}}}
	}
	schema := ref(op.answer)
	if op.also != "" {
		schema = object{"anyOf": []object{ref(op.answer), ref(op.also)}}
	}
	content := object{}
	if r.Streams != StreamsAlways {
		content["application/json"] = object{"schema": schema}
	}
	if r.Streams != StreamsNever && op.event != "" {
		content["text/event-stream"] = object{"schema": object{"type": "string",
			"description": "Server-sent events, whose data lines are each a " + op.event + ".", "contentMediaType": "application/json", "contentSchema": ref(op.event)}}
	}
	return content
}

func ref(schema string) object { return object{"$ref": "#/components/schemas/" + schema} }
