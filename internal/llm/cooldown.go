package llm

import "time"

// Scope says what a cooldown rests.
type Scope string

const (
	ScopeKey      Scope = "key"       // a key, for every model of its provider
	ScopeKeyModel Scope = "key_model" // a key, for one upstream model
	ScopeProvider Scope = "provider"  // a provider with all its keys
	ScopeBreaker  Scope = "breaker"   // one upstream model of a provider, with all keys
)

// Rest is a cooldown: what rests, for how long and why. The zero Rest means
// that nothing rests. It never holds a key, only its fingerprint.
type Rest struct {
	Scope       Scope
	Provider    string
	Fingerprint string        // of the key; "" for the scopes without one
	Model       string        // upstream model; "" for the scopes without one
	For         time.Duration // its length when it is set, what is left when it is read
	Cause       string        // a router.Class
	Status      int           // of the answer that caused it; 0 if there was none
}

// Health is what an attempt showed about the upstream, whatever came of the
// request.
type Health string

const (
	HealthUnknown Health = ""        // nothing was learnt: we stopped it ourselves
	HealthServed  Health = "served"  // it answered
	HealthAlive   Health = "alive"   // it refused, for reasons of the request or the key
	HealthFailing Health = "failing" // 5xx, time-out or broken connection: counts towards the breaker
)

// Report is what one attempt taught about its key and its upstream. The
// router makes it, keysvc takes it.
type Report struct {
	Provider    string
	Fingerprint string
	Model       string // upstream model
	Begun       time.Time
	Health      Health
	FirstToken  time.Duration // with HealthServed: from Begun to the first content
	Rests       []Rest        // to set; their For is counted from now

	// BreakerFailures within 30 s open the breaker for BreakerRest; 0 means
	// that it is switched off.
	BreakerFailures int
	BreakerRest     time.Duration
}
