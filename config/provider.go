package config

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"model-proxy/internal/llm"
)

// providerFile is the form of providers/<name>.json.
type providerFile struct {
	Name          string   `json:"name"`
	DisplayName   string   `json:"display_name"`
	Description   note     `json:"description"`
	ProviderNotes note     `json:"provider_notes"`
	Enabled       *bool    `json:"enabled"`
	Vendor        string   `json:"vendor"`
	Protocols     []string `json:"protocols"`
	Pool          string   `json:"pool"`
	APIKeys       struct {
		Pattern     string   `json:"env_var_pattern"`
		Patterns    []string `json:"env_var_patterns"`
		Description note     `json:"description"`
	} `json:"api_keys"`
	LegacyPatterns []string          `json:"api_key_env_patterns"`
	Endpoints      endpointsFile     `json:"endpoints"`
	Authentication authFile          `json:"authentication"`
	ForwardHeaders []string          `json:"forward_headers"`
	RequestConfig  requestConfigFile `json:"request_config"`
	RateLimiting   struct {
		Enabled           bool   `json:"enabled"`
		RequestsPerMinute *int64 `json:"requests_per_minute"`
		TokensPerMinute   *int64 `json:"tokens_per_minute"`
		CooldownSeconds   *int64 `json:"cooldown_seconds"`
		Description       note   `json:"description"`
	} `json:"rate_limiting"`
	Models        map[string]overrideFile  `json:"models"`
	ErrorHandling map[string]errorRuleFile `json:"error_handling"`
	ProxySupport  struct {
		Enabled         bool   `json:"enabled"`
		BaseURLOverride string `json:"base_url_override"`
		Description     note   `json:"description"`
	} `json:"proxy_support"`
	ModelMapping map[string]string `json:"model_mapping"`
	Quirks       *llm.Quirks       `json:"quirks"`
}

type endpointsFile struct {
	BaseURL          string `json:"base_url"`
	CompatibleFormat string `json:"compatible_format"`
	Completions      string `json:"completions"`
	Streaming        string `json:"streaming"`
	Messages         string `json:"messages"`
	Responses        string `json:"responses"`
	Embeddings       string `json:"embeddings"`
	CountTokens      string `json:"count_tokens"`
	Models           string `json:"models"`
}

type authFile struct {
	Type              string            `json:"type"`
	HeaderName        *string           `json:"header_name"`
	HeaderFormat      string            `json:"header_format"`
	AdditionalHeaders map[string]string `json:"additional_headers"`
}

// timersFile may stand in a provider's request_config, a model and a route.
type timersFile struct {
	TimeoutSeconds        *float64 `json:"timeout_seconds"`
	ConnectTimeoutSeconds *float64 `json:"connect_timeout_seconds"`
	IdleTimeoutSeconds    *float64 `json:"idle_timeout_seconds"`
	TotalTimeoutSeconds   *float64 `json:"total_timeout_seconds"`
}

type requestConfigFile struct {
	timersFile
	MaxRetries         int                        `json:"max_retries"`
	RetryOnStatus      []int                      `json:"retry_on_status"`
	DefaultParameters  map[string]json.RawMessage `json:"default_parameters"`
	RequiredParameters []string                   `json:"required_parameters"`
}

type errorRuleFile struct {
	Action          string `json:"action"`
	CooldownSeconds *int64 `json:"cooldown_seconds"`
	Description     note   `json:"description"`
}

type overrideFile struct {
	CooldownSeconds *int64 `json:"cooldown_seconds"`
	Description     note   `json:"description"`
	llm.Capabilities
}

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
		Name: f.Name, DisplayName: f.DisplayName, Vendor: f.Vendor, Pool: f.Pool,
		Enabled:      f.Enabled == nil || *f.Enabled,
		Headers:      f.Authentication.AdditionalHeaders,
		MaxRetries:   f.RequestConfig.MaxRetries,
		Required:     f.RequestConfig.RequiredParameters,
		ModelMapping: f.ModelMapping,
	}
	if r.p.Name == "" {
		r.p.Name = d.stem()
	}
	if r.p.DisplayName == "" {
		r.p.DisplayName = r.p.Name
	}
	if r.p.Vendor == "" {
		r.p.Vendor = r.p.Name
	}
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

// mainEndpoint is what endpoints.completions means in each protocol.
func mainEndpoint(p llm.Protocol) llm.Endpoint {
	switch p.Wire() {
	case llm.Anthropic:
		return llm.Messages
	case llm.Responses:
		return llm.ResponsesAPI
	}
	return llm.ChatCompletions
}

func (r *providerReader) addresses() {
	e := r.file.Endpoints
	for field, path := range map[string]string{"endpoints.completions": e.Completions, "endpoints.streaming": e.Streaming} {
		if strings.Contains(path, ":generateContent") || strings.Contains(path, ":streamGenerateContent") {
			r.fault(field, "Gemini's native API is not spoken here; use its OpenAI-compatible address: "+
				"base_url https://generativelanguage.googleapis.com/v1beta/openai and completions /chat/completions")
		}
	}
	r.p.BaseURL = e.BaseURL
	field := "endpoints.base_url"
	if r.file.ProxySupport.Enabled {
		field = "proxy_support.base_url_override"
		r.p.BaseURL = r.file.ProxySupport.BaseURLOverride
	}
	r.checkURL(field, r.p.BaseURL)
	if len(r.p.Protocols) > 0 {
		r.paths(r.p.Protocols[0])
	}
}

// checkURL notes a fault unless raw is an address that can be called.
func (d *document) checkURL(field, raw string) {
	if strings.Contains(raw, "${") {
		return // told where it was not replaced
	}
	switch u, err := url.Parse(raw); {
	case raw == "":
		d.fault(field, "is missing; give the provider's address, such as https://api.example.com/v1")
	case err == nil && u.User != nil:
		d.fault(field, "holds a user name or password, which would show in messages; put it in authentication.additional_headers as ${NAME}")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		d.fault(field, "is not an http or https address such as https://api.example.com/v1")
	}
}

// paths fills Paths, StreamPaths and ModelsPath. What the file leaves out
// stands beside the path of completions, or is the protocol's usual one.
func (r *providerReader) paths(main llm.Protocol) {
	e := r.file.Endpoints
	first := mainEndpoint(main)
	known := e.Completions
	if known == "" {
		known = defaultPaths[first]
		if main == llm.Azure {
			known = "/openai/deployments/{model}/chat/completions?api-version=" + azureVersion
		}
	}
	r.p.Paths = map[llm.Endpoint]string{first: known}
	for _, given := range []struct {
		endpoint llm.Endpoint
		path     string
	}{
		{llm.ChatCompletions, ""}, {llm.Messages, e.Messages}, {llm.ResponsesAPI, e.Responses},
		{llm.Embeddings, e.Embeddings}, {llm.CountTokens, e.CountTokens},
	} {
		if given.path != "" {
			r.p.Paths[given.endpoint] = given.path
		}
		if r.p.Paths[given.endpoint] == "" {
			r.p.Paths[given.endpoint] = sibling(known, first, defaultPaths[given.endpoint])
		}
		if r.p.Paths[given.endpoint] == "" {
			r.p.Paths[given.endpoint] = defaultPaths[given.endpoint]
		}
	}
	if e.Streaming != "" && e.Streaming != r.p.Paths[first] {
		r.p.StreamPaths = map[llm.Endpoint]string{first: e.Streaming}
	}
	r.p.ModelsPath = r.modelsPath(main, known, first)
}

func (r *providerReader) modelsPath(main llm.Protocol, known string, first llm.Endpoint) string {
	if given := r.file.Endpoints.Models; given != "" {
		return given
	}
	if main == llm.Azure {
		_, query, _ := strings.Cut(known, "?")
		if query == "" {
			query = "api-version=" + azureVersion
		}
		return "/openai/models?" + query
	}
	if beside := sibling(known, first, defaultModelsPath); beside != "" {
		return beside
	}
	return defaultModelsPath
}

// keyHeaders are the usual places of a key, where the file names none.
var keyHeaders = map[llm.Protocol]string{llm.Anthropic: "x-api-key", llm.Azure: "api-key"}

func (r *providerReader) authentication() {
	a := r.file.Authentication
	header := "Authorization"
	if len(r.p.Protocols) > 0 && keyHeaders[r.p.Protocols[0]] != "" {
		header = keyHeaders[r.p.Protocols[0]]
	}
	if a.HeaderName != nil {
		header = *a.HeaderName
	}
	r.p.KeyHeader, r.p.KeyFormat = header, a.HeaderFormat
	if r.p.KeyFormat == "" {
		r.p.KeyFormat = "{api_key}"
		if strings.EqualFold(header, "Authorization") {
			r.p.KeyFormat = "Bearer {api_key}"
		}
	}
	if header != "" && !headerName(header) {
		r.fault("authentication.header_name", "%q cannot be the name of an HTTP header", header)
	}
	if !strings.Contains(r.p.KeyFormat, "{api_key}") {
		r.fault("authentication.header_format", "must hold {api_key} where the key belongs, such as \"Bearer {api_key}\"")
	}
	for name, value := range a.AdditionalHeaders {
		if !headerName(name) || !headerValue(value) {
			r.fault("authentication.additional_headers."+name, "cannot be sent as an HTTP header; use printable ASCII")
		}
	}
	r.forwardHeaders()
}

// neverForwarded are request headers that hold the client's own credentials.
var neverForwarded = []string{"authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"}

func (r *providerReader) forwardHeaders() {
	for i, name := range r.file.ForwardHeaders {
		field := "forward_headers[" + strconv.Itoa(i) + "]"
		prefix, open := strings.CutSuffix(strings.ToLower(name), "*")
		leaks := slices.ContainsFunc(neverForwarded, func(secret string) bool {
			return secret == prefix || open && strings.HasPrefix(secret, prefix)
		})
		switch {
		case leaks:
			r.fault(field, "%q would hand the client's own key to the provider; name other headers", name)
		case !headerName(prefix):
			r.fault(field, "%q cannot be the name of an HTTP header", name)
		default:
			r.p.ForwardHeaders = append(r.p.ForwardHeaders, name)
		}
	}
}

// keyless reports whether the provider can be called without any key.
func (r *providerReader) keyless() bool {
	a := r.file.Authentication
	return a.Type == "none" || a.HeaderName != nil && *a.HeaderName == ""
}

func (r *providerReader) keys() {
	f := r.file
	patterns := f.APIKeys.Patterns
	if f.APIKeys.Pattern != "" {
		patterns = append([]string{f.APIKeys.Pattern}, patterns...)
	}
	patterns = append(patterns, f.LegacyPatterns...)
	if len(patterns) == 0 && !r.keyless() {
		patterns = defaultKeyPatterns
	}
	r.p.KeyPatterns = patterns
	var bad []string
	if r.p.KeyHeader != "" {
		r.p.Keys, bad = r.env.keys(r.p.Name, patterns)
	}
	for _, name := range bad {
		r.warn("api_keys", "the value of %s holds characters that no HTTP header can carry and is left out; set it again without line ends and spaces", name)
	}
	if len(r.p.Keys) == 0 && r.keyless() {
		r.p.Keys = []Key{{}}
	}
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
