// Package transcript plays a provider that follows a script of tool calls and
// holds every request to what a real one would insist on: the hard rules of its
// protocol, and that all it said before comes back as it said it.
package transcript

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

//go:embed testdata/repair.json
var repair []byte

// Transcript is one conversation: the assistant's turns and what the tools it
// calls are to answer.
type Transcript struct {
	Prompt string
	Tools  []string // names
	Rounds []Round  // the last one calls nothing
}

// Round is one turn of the assistant.
type Round struct {
	Thinking string
	Text     string
	Calls    []Call
}

// Call is one call of a tool, with what the tool is to answer.
type Call struct {
	Name      string
	Arguments string // JSON text
	Result    string
	Failed    bool // the tool reports Result as an error
}

// Repair is a conversation of 20 turns in which a model mends a program.
func Repair() (*Transcript, error) {
	t := &Transcript{}
	if err := json.Unmarshal(repair, t); err != nil {
		return nil, fmt.Errorf("read the transcript: %w", err)
	}
	return t, nil
}

// Final is the text of the last turn.
func (t *Transcript) Final() string { return t.Rounds[len(t.Rounds)-1].Text }

// Run is the tool: it answers a call as the script has it, whatever has become
// of the digits of large numbers. ok is false for a call that is not there.
func (t *Transcript) Run(name, arguments string) (c Call, ok bool) {
	for _, r := range t.Rounds {
		for _, c := range r.Calls {
			if c.Name == name && sameJSON(c.Arguments, arguments, asFloats) {
				return c, true
			}
		}
	}
	return Call{}, false
}

// numbers says how numbers in arguments are compared.
type numbers uint8

const (
	exactNumbers numbers = iota // digit by digit
	asFloats                    // for clients that keep them as such
)

// sameJSON compares two JSON texts; nothing at all stands for {}.
func sameJSON(a, b string, n numbers) bool {
	va, errA := decode(a, n)
	vb, errB := decode(b, n)
	return errA == nil && errB == nil && reflect.DeepEqual(va, vb)
}

func decode(text string, n numbers) (v any, err error) {
	if strings.TrimSpace(text) == "" {
		text = "{}"
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	if n == exactNumbers {
		d.UseNumber()
	}
	err = d.Decode(&v)
	return v, err
}
