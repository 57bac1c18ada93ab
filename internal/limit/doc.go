// Package limit keeps each client's limits over the whole cluster: requests a
// minute, tokens a minute, and requests at one time. It promises that no limit
// is exceeded however many ingresses there are, and that a refused request
// consumes nothing. Who the client is and what a refusal looks like on the
// wire is the ingress's work.
//
// # Requests and tokens
//
// Both are counted in the memory stream RL, whose subjects are counters that
// NATS adds up itself (Nats-Incr; the acknowledgement holds the sum):
//
//	rl.<client>.<kind>.<bucket>     kind: requests | tokens
//
// A bucket holds what was admitted in 10 s of the server's time. An ingress
// leases room: it adds what it wants to the current bucket and reads the other
// buckets of the window behind that, on the same connection, so that the
// stream handles the addition first. Below the limit it may keep what it asked
// for; what is too much it subtracts again. From then on it decides by itself
// until the lease is spent or the bucket ends. Leases grow with the pace of a
// client's requests and never exceed 1/32 of the room that is left; an
// unhurried client has none and pays one exchange for each request.
//
// # Why the limit holds although clocks differ
//
// Bucket numbers come from the server's clock, of which each process keeps an
// estimate (clock.go) that is wrong by at most skew/2, so that any two differ
// by at most skew (0.5 s). Take any 60 s, and of the leases used in it the one
// whose addition the stream handled last. All other additions stand before it,
// so its reads see them, provided it reads the right buckets. The others were
// used at most 60 s before it was, so their bucket is not older than that of
// now − 60 s − skew; they were added before it was, so their bucket is not
// younger than that of now + skew. Those buckets make up the window: the
// current one and the six before it, and around a bucket's edge one more. A
// value is remembered only when no clock can be in that bucket any more. What
// arrives in a bucket later belongs to a lease that its owner finds ended.
//
// Room comes back when a bucket leaves the window: in steps of 10 s, each 60 s
// and skew after the bucket's end.
//
// An addition that was not acknowledged in time is taken back as soon as it is.
// One whose acknowledgement is lost counts as done: the limit may then be too
// strict for a minute, never too loose.
//
// # Parallel requests
//
// The bucket PAR has one key a client, a JSON object of what each ingress
// holds: {"<ingress>":{"slots":3,"until":1767225600000}}, until in
// milliseconds of the server's time. Slots are taken and given back by
// compare-and-set, renewed every 2 s, and ignored by all others once until has
// passed, 4.5 s after the last renewal.
//
// # What is not promised
//
// Counters live in memory: the restart of an unreplicated NATS server forgets
// them. Servers of one cluster must keep their clocks together (NTP); when a
// new stream leader's clock is ahead, its first minute may forget as much.
package limit
