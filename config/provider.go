package config

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"model-proxy/internal/llm"
)

// actions are what an upstream error may make the gateway do; router gives
// them their meaning.
var actions = []string{
	"global_key_failure", "model_key_failure", "provider_cooldown",
	"fallback_no_cooldown", "auto_fix_tool_responses", "return_to_client",
}

// protocols are the values of compatible_format and wire_protocol.
var protocols = []string{
	string(llm.OpenAI), string(llm.Responses), string(llm.Anthropic), string(llm.Azure), string(llm.Gemini),
}

// providerReader checks one provider file and builds the Provider of it.
type providerReader struct {
	*document
	file providerFile
	env  *Environment
	p    *Provider
}

// readProvider returns the provider that the document describes. Its faults
// are among the document's problems; the provider is usable only if the
// document is valid.
func readProvider(d *document, env *Environment) *Provider {
	d.expand(env)
	r := &providerReader{document: d, env: env}
	d.decode(&r.file)
	f := &r.file
	r.p = &Provider{
		File: d.name, Shipped: d.shipped,
		Name: cmp.Or(f.Name, d.stem()), Pool: f.Pool,
		Enabled:      f.Enabled == nil || *f.Enabled,
		Headers:      f.Authentication.AdditionalHeaders,
		MaxRetries:   f.RequestConfig.MaxRetries,
		Required:     f.RequestConfig.RequiredParameters,
		ModelMapping: f.ModelMapping,
	}
	r.p.DisplayName = cmp.Or(f.DisplayName, r.p.Name)
	r.p.Vendor = cmp.Or(f.Vendor, r.p.Name)
	r.protocols()
	r.addresses()
	r.authentication()
	r.keys()
	r.request()
	r.errors()
	r.limits()
	r.models()
	if f.Quirks != nil {
		r.checkQuirks("quirks", *f.Quirks)
		r.p.Quirks = *f.Quirks
	} else {
		r.p.Quirks = shippedQuirks(r.p.Vendor)
	}
	return r.p
}

// shippedQuirks are those of the vendor's API as the defaults in the binary
// know them. They stand for a file without quirks, as the predecessor's are.
func shippedQuirks(vendor string) llm.Quirks {
	raw, err := shipped.ReadFile("providers/" + vendor + ".json")
	if err != nil {
		return llm.Quirks{}
	}
	var f providerFile
	parse(vendor, raw).decode(&f)
	if f.Quirks == nil {
		return llm.Quirks{}
	}
	return *f.Quirks
}

// protocols lists compatible_format first: endpoints.completions is its path.
func (r *providerReader) protocols() {
	main := r.file.Endpoints.CompatibleFormat
	if main == "" {
		main = string(llm.OpenAI)
		if len(r.file.Protocols) > 0 {
			main = r.file.Protocols[0]
		}
	}
	r.protocol("endpoints.compatible_format", main)
	for i, name := range r.file.Protocols {
		r.protocol("protocols["+strconv.Itoa(i)+"]", name)
	}
}

func (r *providerReader) protocol(field, name string) {
	p, ok := r.readProtocol(field, name)
	if ok && !slices.Contains(r.p.Protocols, p) {
		r.p.Protocols = append(r.p.Protocols, p)
	}
}

// readProtocol checks a protocol's name.
func (d *document) readProtocol(field, name string) (llm.Protocol, bool) {
	if p := llm.Protocol(name); p.Valid() {
		return p, true
	}
	d.fault(field, "%q is not one of %s%s", name, strings.Join(protocols, ", "), didYouMean(name, protocols))
	return "", false
}

func (r *providerReader) request() {
	c := r.file.RequestConfig
	r.p.Timers = r.timers("request_config", c.timersFile)
	if c.MaxRetries < 0 {
		r.fault("request_config.max_retries", "must be 0 or more, is %d", c.MaxRetries)
	}
	r.p.RetryOnStatus = map[int]bool{}
	for i, status := range c.RetryOnStatus {
		if status < 100 || status > 599 {
			r.fault("request_config.retry_on_status["+strconv.Itoa(i)+"]", "%d is not an HTTP status", status)
		}
		r.p.RetryOnStatus[status] = true
	}
	r.p.DefaultParameters = map[string]json.RawMessage{}
	for name, value := range c.DefaultParameters {
		if !restatesDefault(name, value) {
			r.p.DefaultParameters[name] = value
		}
	}
}

// restatesDefault reports whether a parameter says no more than the API's own
// default. Several models reject such values, so they are never sent.
func restatesDefault(name string, value json.RawMessage) bool {
	if len(value) == 0 || string(value) == "null" {
		return true
	}
	switch name {
	case "temperature", "top_p", "n":
		v, err := strconv.ParseFloat(string(value), 64)
		return err == nil && v == 1
	}
	return false
}

// longest bounds every timer: a week.
const longest = 7 * 24 * time.Hour

// timers converts seconds; what is left out stays 0, for the next source to
// decide.
func (d *document) timers(path string, f timersFile) Timers {
	read := func(name string, s *float64) time.Duration {
		if s == nil {
			return 0
		}
		if *s <= 0 || *s > longest.Seconds() {
			d.fault(join(path, name), "must be more than 0 seconds and at most a week, is %v; leave it out for the default", *s)
			return 0
		}
		return time.Duration(*s * float64(time.Second))
	}
	return Timers{
		FirstToken: read("timeout_seconds", f.TimeoutSeconds),
		Connect:    read("connect_timeout_seconds", f.ConnectTimeoutSeconds),
		Idle:       read("idle_timeout_seconds", f.IdleTimeoutSeconds),
		Total:      read("total_timeout_seconds", f.TotalTimeoutSeconds),
	}
}

// notNegative notes a fault if a number is below 0.
func (d *document) notNegative(field string, n *int64) {
	if n != nil && *n < 0 {
		d.fault(field, "must be 0 or more, is %d", *n)
	}
}

func (r *providerReader) errors() {
	r.p.Errors = map[int]ErrorRule{}
	for status, rule := range r.file.ErrorHandling {
		field := "error_handling." + status
		code, err := strconv.Atoi(status)
		if err != nil || code < 400 || code > 599 {
			r.fault(field, "%q is not the status of an error; use one from 400 to 599", status)
		}
		if rule.Action != "" && !slices.Contains(actions, rule.Action) {
			r.fault(field+".action", "%q is not one of %s%s", rule.Action, strings.Join(actions, ", "), didYouMean(rule.Action, actions))
		}
		r.notNegative(field+".cooldown_seconds", rule.CooldownSeconds)
		r.p.Errors[code] = ErrorRule{Action: rule.Action, CooldownSeconds: rule.CooldownSeconds}
	}
}

func (r *providerReader) limits() {
	l := r.file.RateLimiting
	r.notNegative("rate_limiting.requests_per_minute", l.RequestsPerMinute)
	r.notNegative("rate_limiting.tokens_per_minute", l.TokensPerMinute)
	r.notNegative("rate_limiting.cooldown_seconds", l.CooldownSeconds)
	r.p.CooldownSeconds = l.CooldownSeconds
	if l.Enabled && l.RequestsPerMinute != nil {
		r.p.KeyRequestsPerMinute = *l.RequestsPerMinute
	}
	if l.Enabled && l.TokensPerMinute != nil {
		r.p.KeyTokensPerMinute = *l.TokensPerMinute
	}
}

func (r *providerReader) models() {
	r.p.ModelOverrides = map[string]ModelOverride{}
	for name, o := range r.file.Models {
		r.notNegative("models."+name+".cooldown_seconds", o.CooldownSeconds)
		r.checkCapabilities("models."+name, o.Capabilities)
		capabilities := o.Capabilities
		r.p.ModelOverrides[name] = ModelOverride{CooldownSeconds: o.CooldownSeconds, Capabilities: &capabilities}
	}
}
