//go:build linux

package main

import "slices"

// scenario is one kind of load.
type scenario struct {
	name    string
	pace    string // what the upstream is told
	args    string // what loadgen is told; -duration is added
	api     string // openai or anthropic
	columns []column
	model   string // what the target converting is asked for; "" leaves it out
	long    bool   // only with -full
}

var scenarios = []scenario{
	{name: "plain-1000", api: "openai", args: "-mode open -rate 1000 -conns 512 -warmup 1s", columns: plain},
	{name: "plain-max", api: "openai", args: "-mode closed -conns 64 -warmup 1s", columns: plain},
	{name: "stream-100", api: "openai", pace: "delay=10ms", args: "-stream -mode closed -conns 100 -ramp 500ms -warmup 1s", columns: stream},
	{name: "stream-max", api: "openai", args: "-stream -mode closed -conns 32 -warmup 1s", columns: stream},
	{name: "converted-stream-max", api: "anthropic", args: "-stream -mode closed -conns 32 -warmup 1s", columns: converted, model: "converted-mock"},
	{name: "anthropic-plain-1000", api: "anthropic", args: "-mode open -rate 1000 -conns 512 -warmup 1s", columns: plain, long: true},
	{name: "anthropic-stream-max", api: "anthropic", args: "-stream -mode closed -conns 32 -warmup 1s", columns: stream, long: true},
	{name: "memory-1000", api: "openai", pace: "delay=100ms", args: "-stream -mode closed -conns 1000 -ramp 4s -warmup 6s", columns: stream, long: true},
}

// converting is the gateway once more, with a client that speaks Messages and an
// upstream that speaks Chat Completions.
const converting = "converting"

// endpoint is where an API is served, and the model to ask for.
type endpoint struct{ path, model string }

var endpoints = map[string]endpoint{
	"openai":    {"/v1/chat/completions", "gpt-4o-mini"},
	"anthropic": {"/v1/messages", "claude-mock"},
}

// of is the scenario's own targets.
func (s scenario) of(all []target) []target {
	if s.model == "" {
		return all
	}
	again := all[len(all)-1]
	again.name, again.model = converting, s.model
	return append(all[:len(all):len(all)], again)
}

func (o options) wants(s scenario) bool {
	if len(o.only) > 0 {
		return slices.Contains(o.only, s.name)
	}
	return o.full || !s.long
}
