package router

import "model-proxy/config"

// Action is what an upstream error makes us do, as written in a provider
// file's error_handling.
type Action string

const (
	GlobalKeyFailure   Action = "global_key_failure"      // the key rests for the whole provider; next key
	ModelKeyFailure    Action = "model_key_failure"       // the key rests for this provider's model; next key
	ProviderCooldown   Action = "provider_cooldown"       // the provider rests; next route
	FallbackNoCooldown Action = "fallback_no_cooldown"    // nothing rests; next route
	FixToolResponses   Action = "auto_fix_tool_responses" // supply missing tool results, once on each route
	ReturnToClient     Action = "return_to_client"        // the request's own fault: answer it
)

// byClass is what a class means where the provider's file is silent.
var byClass = map[Class]Action{
	RateLimit:     ModelKeyFailure,
	Quota:         GlobalKeyFailure,
	Auth:          GlobalKeyFailure,
	Denied:        GlobalKeyFailure,
	ModelDenied:   ModelKeyFailure,
	BadRequest:    ReturnToClient,
	ContentFilter: ReturnToClient,
	ContextLength: ReturnToClient,
	TooLarge:      ReturnToClient,
	TooLargeHere:  FallbackNoCooldown,
	ToolUse:       FallbackNoCooldown,
	ModelMissing:  FallbackNoCooldown,
	Overloaded:    FallbackNoCooldown,
	ServerError:   FallbackNoCooldown,
	TimedOut:      FallbackNoCooldown,
	Unreachable:   FallbackNoCooldown,
	Broken:        FallbackNoCooldown,
	Other:         FallbackNoCooldown,
}

// decide gives the action for a class read from an answer of status. The
// provider's file decides by status, with two exceptions: a spent quota that
// hides behind a 400 or a 429 rests the key, and a request refused for its
// content or its length never costs a key or a provider its place.
func decide(p *config.Provider, status int, c Class) Action {
	byFile := Action(p.Errors[status].Action)
	switch {
	case c == Quota && (status == 400 || status == 429):
		return GlobalKeyFailure
	case c.requestsFault() && byFile != FallbackNoCooldown:
		return byClass[c]
	case byFile.known():
		return byFile
	}
	return byClass[c]
}

func (a Action) known() bool {
	switch a {
	case GlobalKeyFailure, ModelKeyFailure, ProviderCooldown, FallbackNoCooldown, FixToolResponses, ReturnToClient:
		return true
	}
	return false
}

// rests reports whether the action makes something rest.
func (a Action) rests() bool {
	return a == GlobalKeyFailure || a == ModelKeyFailure || a == ProviderCooldown
}

// keyScoped reports whether the key is at fault, so that the next key of the
// same route comes next.
func (a Action) keyScoped() bool { return a == GlobalKeyFailure || a == ModelKeyFailure }
