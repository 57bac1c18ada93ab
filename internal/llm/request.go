package llm

import "encoding/json"

// Request is one call for an answer in words no protocol owns. Whatever is only
// carried (arguments, schemas, numbers) stays the JSON text it came as.
// The zero value of a field means that the client did not say.
type Request struct {
	Turns    []Turn // in the client's order, system turns among them
	Tools    []Tool
	Choice   ToolChoice
	Parallel *bool // may several tools be called at once

	MaxTokens               *int64
	Temperature, TopP, TopK json.RawMessage // numbers as the client spelled them
	Stop                    []string
	Reasoning               Reasoning
	Format                  *Format
	User                    string // the end user's id
	ServiceTier             string // as the client's protocol spells it: auto, default, standard_only, …
	Verbosity               string // low | medium | high, of OpenAI's models
	IncludeUsage            bool   // the client wants the usage of a stream
	Signatures              bool   // a Responses client wants what its reasoning items are to be sent back with

	// Extra are the top-level fields that have no place above, in the order of
	// the request. Each target decides which of them it can honour.
	Extra []Field
}

// Field is one member of a request by its path, such as "logit_bias".
type Field struct {
	Path  string
	Value json.RawMessage
}

// Role is who speaks in a turn. What tools answer belongs to the user's turns.
type Role string

const (
	RoleSystem    Role = "system" // also OpenAI's developer
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
)

// Turn is one message. Several of one role may follow one another.
type Turn struct {
	Role   Role
	Path   string // where it stood: messages[3]
	Blocks []Block
	Prefix bool   // the last assistant turn is to be continued, not answered
	Name   string // who speaks, of several with one role; "" where it does not matter

	// Native is the content of an assistant's turn as Messages had it, a list of
	// blocks, where a client has kept that; Blocks tell what all protocols can.
	Native json.RawMessage
}

// BlockKind is what a block is.
type BlockKind uint8

const (
	BlockText     BlockKind = iota // Text; answers also Annotations
	BlockThinking                  // Text, Signature
	BlockRedacted                  // Signature holds the opaque data
	BlockRefusal                   // Text
	BlockImage                     // Media
	BlockDocument                  // Media
	BlockAudio                     // Media
	BlockCall                      // ID, Name, Args, Custom
	BlockResult                    // ID of the call, Content, IsError
	BlockOpaque                    // Name is its type, Raw the block: what only its own protocol knows
)

// Block is one part of a turn or of an answer. Strings are decoded; a lone
// surrogate is carried as rawjson.Unquote makes it.
type Block struct {
	Kind BlockKind
	Path string // where it stood: messages[3].content[0]; "" in answers

	Text      string
	Signature string // native to the upstream that made it, or one of convert's seals

	ID, Name string
	Args     string // arguments as JSON text; for a custom tool free text. May be broken JSON
	Custom   bool

	Content []Block
	IsError bool

	Media       *Media
	Cache       json.RawMessage // cache_control as Messages spells it
	Annotations []Annotation
	Raw         json.RawMessage
}

// Media is what an image, a document or a recording holds: exactly one of Data,
// URL, FileID, Text and Parts is set.
type Media struct {
	Type           string // media type as labelled, such as image/png
	Data           string // base64
	URL            string
	FileID         string
	Text           string
	Parts          []Block
	Title, Context string
	Detail         string // how closely to look at an image: low | high | auto
}

// Annotation is a citation of a web page. Start and End count characters of its
// block's text; 0 and 0 stand for all of it.
type Annotation struct {
	URL, Title string
	Start, End int
}

// Tool is one tool the model may call. Schema nil means that none was given.
type Tool struct {
	Path, Name, Description string
	Namespace               string // group of Responses that holds the tool; Name begins with it then
	Schema                  json.RawMessage
	Strict                  *bool
	Custom                  bool            // takes free text in place of JSON; Schema is its format then
	Cache                   json.RawMessage // cache_control
	Examples                json.RawMessage // input_examples of Messages
	Server                  string          // type of a tool its vendor runs, such as web_search_20250305; Raw holds it
	Raw                     json.RawMessage
}

// ChoiceKind says whether the model must call a tool.
type ChoiceKind uint8

const (
	ChoiceUnset ChoiceKind = iota
	ChoiceAuto
	ChoiceNone
	ChoiceAny  // some tool
	ChoiceTool // the one of that name
)

// ToolChoice is which tools the model may or must call.
type ToolChoice struct {
	Kind    ChoiceKind
	Name    string
	Allowed []string // nil means all
	Legacy  bool     // asked in the words of functions and function_call
}

// Reasoning is how much the model is to think.
type Reasoning struct {
	Effort  string // none | minimal | low | medium | high | xhigh | max
	Config  string // Messages' output_config.effort; then Effort is the same
	Mode    string // Messages' thinking.type: enabled | adaptive | disabled | between_tools
	Budget  int64  // thinking.budget_tokens
	Raw     json.RawMessage
	Summary string // Responses' reasoning.summary: show the thinking
}

// Format is the shape the answer's text must have.
type Format struct {
	Kind              string // json_object | json_schema
	Name, Description string
	Schema            json.RawMessage
	Strict            *bool
}
