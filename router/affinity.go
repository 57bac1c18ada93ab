package router

import "github.com/cespare/xxhash/v2"

// affinityFrom is the length from which a prompt is worth keeping with one
// key, and how much of its head counts. Later turns of a conversation share
// their head with the earlier ones.
const affinityFrom = 4 << 10

// Affinity is the hash by which prompts over 4 KB keep to one key of a
// provider, because the providers' prompt caches are per key. prompt is the
// raw JSON of the prompt, or the body if nothing better is at hand. Shorter
// prompts give 0: they take turns. The hash is the same in every process.
func Affinity(client string, prompt []byte) uint64 {
	if len(prompt) <= affinityFrom {
		return 0
	}
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(client) // a Digest's writes do not fail
	_, _ = d.Write([]byte{0})
	_, _ = d.Write(prompt[:affinityFrom])
	return max(1, d.Sum64())
}
