package convert

import (
	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// seen is what an exchange has learnt from the answer so far.
type seen struct {
	begun             bool // something was answered at all
	id, model, finish string
	usage             counters
	content           int64 // bytes of content delivered
}

// counters are token counts as the three protocols give them, with each one's
// own idea of what includes what already evened out: prompt excludes cached
// tokens here only while cachedApart is set.
type counters struct {
	known               bool
	cachedApart         bool // Messages: prompt leaves cached tokens out
	complete            bool // the answer's own count is in it, not a first guess
	prompt, read, write int64
	write1h             int64
	completion          int64
	reasoning           int64
	tier                string // as llm.Usage has it
}

// bytesPerToken is the rule of thumb for English prose and for code; Chinese
// and Japanese come to about the same counted in bytes.
const bytesPerToken = 4

// EstimateTokens guesses how many tokens n bytes of text or JSON are.
func EstimateTokens(n int) int64 { return int64(n+bytesPerToken-1) / bytesPerToken }

// total is the usage in our own words; prompt is the estimate for where the
// upstream does not say.
func (s *seen) total(prompt int64) llm.Usage {
	c := s.usage
	u := llm.Usage{
		Prompt: c.prompt, CachedRead: c.read, CachedWrite: c.write, CachedWrite1h: c.write1h,
		Completion: c.completion, Reasoning: c.reasoning, Source: llm.UsageProvider, Tier: c.tier,
	}
	if c.cachedApart {
		u.Prompt += c.read + c.write
	}
	switch {
	case c.known && c.complete:
		return u
	case !s.begun:
		return llm.Usage{Source: llm.UsageNone}
	case c.known:
		u.Completion, u.Source = max(c.completion, EstimateTokens(int(s.content))), llm.UsageCounted
		return u
	}
	return llm.Usage{Prompt: prompt, Completion: EstimateTokens(int(s.content)), Source: llm.UsageEstimated}
}

// readAnswer reads what a whole answer tells besides its content.
func (s *seen) readAnswer(p llm.Protocol, body []byte, found rawjson.Members) {
	s.note(found.Value(body, "id"), found.Value(body, "model"))
	usage := found.Value(body, "usage")
	switch p {
	case llm.Anthropic:
		s.usage.readMessages(usage)
		s.usage.readCount(found.Value(body, "input_tokens"))
		s.setFinish(found.Value(body, "stop_reason"))
		s.content = int64(len(found.Value(body, "content")))
		s.usage.complete = s.usage.known
	case llm.Responses:
		s.usage.readResponses(usage)
		s.usage.readCount(found.Value(body, "input_tokens"))
		s.usage.setTier(found.Value(body, "service_tier"))
		s.setFinish(found.Value(body, "status"))
		s.content = int64(len(found.Value(body, "output")))
	default:
		s.usage.readChat(usage)
		s.usage.setTier(found.Value(body, "service_tier"))
		choice := rawjson.First(found.Value(body, "choices"))
		s.setFinish(rawjson.Get(choice, "finish_reason"))
		s.content = int64(len(rawjson.Get(choice, "message")))
	}
}

// note keeps the first id and model that are told; some hosts change the id
// within one stream.
func (s *seen) note(id, model []byte) {
	if s.id == "" {
		s.id, _ = rawjson.Unquote(id)
	}
	if s.model == "" {
		s.model, _ = rawjson.Unquote(model)
	}
}

func (s *seen) setFinish(raw []byte) {
	if reason, ok := rawjson.Unquote(raw); ok && reason != "" {
		s.finish = reason
	}
}

// count reads a token count; null, absent, negative and absurd values are 0.
func count(raw []byte) int64 {
	n, _ := rawjson.Int(raw)
	if n < 0 || n > 1<<40 {
		return 0
	}
	return n
}

// readCount reads the answer of a token count, which has no usage.
func (c *counters) readCount(n []byte) {
	if n != nil {
		c.prompt, c.known, c.complete = count(n), true, true
	}
}

// told is count for one of the numbers that make a usage: without any of them,
// as in {} or in another protocol's words, nothing is known.
func (c *counters) told(raw []byte) int64 {
	c.known = c.known || !rawjson.IsNull(raw)
	return count(raw)
}

// setTier reads service_tier. What providers call the standard one is "".
func (c *counters) setTier(raw []byte) {
	switch tier, _ := rawjson.Unquote(raw); tier {
	case "", "default", "standard", "auto", "on_demand":
	default:
		c.tier = tier[:min(len(tier), 32)]
	}
}

// readChat reads the usage of Chat Completions and of the hosts that vary it.
// The last one told counts: some repeat it in every chunk, cumulative.
func (c *counters) readChat(usage []byte) {
	if len(usage) == 0 || usage[0] != '{' {
		return
	}
	var n counters
	var total, hit int64
	for name, v := range rawjson.Quoted(usage) {
		switch string(name) {
		case `"prompt_tokens"`:
			n.prompt = n.told(v)
		case `"completion_tokens"`:
			n.completion = n.told(v)
		case `"total_tokens"`:
			total = count(v)
		case `"prompt_tokens_details"`:
			n.read = max(n.read, count(rawjson.Get(v, "cached_tokens")))
			n.write = count(rawjson.Get(v, "cache_write_tokens"))
		case `"prompt_cache_hit_tokens"`, `"cached_tokens"`: // DeepSeek, Moonshot
			hit = max(hit, count(v))
		case `"completion_tokens_details"`:
			n.reasoning = count(rawjson.Get(v, "reasoning_tokens"))
		case `"reasoning_tokens"`:
			n.reasoning = max(n.reasoning, count(v))
		}
	}
	if !n.known {
		return
	}
	n.complete = true
	if n.read == 0 {
		n.read = hit
	}
	n.read = min(n.read, n.prompt)
	n.write = min(n.write, n.prompt-n.read)
	// xAI and Gemini leave reasoning out of completion_tokens, and Gemini does
	// not say how much there was: the total knows.
	if hidden := total - n.prompt - n.completion; hidden > 0 {
		n.completion += hidden
		n.reasoning = max(n.reasoning, hidden)
	}
	n.reasoning = min(n.reasoning, n.completion)
	*c = n
}

// readMessages reads the usage of Messages. What is told again replaces what
// was told before: message_delta's numbers are cumulative and final.
func (c *counters) readMessages(usage []byte) {
	if len(usage) == 0 || usage[0] != '{' {
		return
	}
	c.cachedApart = true
	var iterations []byte
	for name, v := range rawjson.Quoted(usage) {
		if rawjson.IsNull(v) {
			continue
		}
		switch string(name) {
		case `"input_tokens"`:
			c.prompt = c.told(v)
		case `"output_tokens"`:
			c.completion = c.told(v)
		case `"cache_read_input_tokens"`:
			c.read = count(v)
		case `"cache_creation_input_tokens"`:
			c.write = count(v)
		case `"cache_creation"`:
			c.write1h = count(rawjson.Get(v, "ephemeral_1h_input_tokens"))
		case `"output_tokens_details"`:
			c.reasoning = count(rawjson.Get(v, "thinking_tokens"))
		case `"service_tier"`:
			c.setTier(v)
		case `"speed"`:
			if rawjson.EqualString(v, "fast") {
				c.tier = "fast"
			}
		case `"iterations"`:
			iterations = v
		}
	}
	c.readIterations(iterations)
}

// readIterations adds up the rounds of a compacted answer, whose top-level
// numbers leave the compaction out; a fallback round is counted in them already.
// Other rounds, an advisor's say, are another model's.
func (c *counters) readIterations(iterations []byte) {
	var sum counters
	rounds := 0
	for it := range rawjson.Array(iterations) {
		switch str(rawjson.Get(it, "type")) {
		case "fallback_message":
			return
		case "message", "compaction":
		default:
			continue
		}
		rounds++
		sum.prompt += count(rawjson.Get(it, "input_tokens"))
		sum.completion += count(rawjson.Get(it, "output_tokens"))
		sum.read += count(rawjson.Get(it, "cache_read_input_tokens"))
		sum.write += count(rawjson.Get(it, "cache_creation_input_tokens"))
	}
	if rounds > 0 {
		c.prompt, c.completion, c.read, c.write = sum.prompt, sum.completion, sum.read, sum.write
	}
}

// readResponses reads the usage of Responses, whose input_tokens include what
// was cached.
func (c *counters) readResponses(usage []byte) {
	if len(usage) == 0 || usage[0] != '{' {
		return
	}
	var n counters
	var total int64
	for name, v := range rawjson.Quoted(usage) {
		switch string(name) {
		case `"input_tokens"`:
			n.prompt = n.told(v)
		case `"output_tokens"`:
			n.completion = n.told(v)
		case `"total_tokens"`:
			total = count(v)
		case `"input_tokens_details"`:
			n.read = count(rawjson.Get(v, "cached_tokens"))
			n.write = count(rawjson.Get(v, "cache_write_tokens"))
		case `"output_tokens_details"`:
			n.reasoning = count(rawjson.Get(v, "reasoning_tokens"))
		}
	}
	if !n.known {
		return
	}
	n.complete = true
	if hidden := total - n.prompt - n.completion; hidden > 0 && hidden == n.reasoning {
		n.completion += hidden
	}
	n.read = min(n.read, n.prompt)
	n.write = min(n.write, n.prompt-n.read)
	n.reasoning = min(n.reasoning, n.completion)
	*c = n
}
