package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// revision hashes what a snapshot was made from. Processes that read the same
// files and variables, wherever they stand, have the same revision.
type revision struct {
	files []string // hash of each file's bytes
}

// add takes in a file.
func (r *revision) add(d *document) {
	sum := sha256.Sum256(d.raw)
	r.files = append(r.files, string(sum[:]))
}

// sum is the first 12 hex digits over the files and over what the environment
// made of them. Keys go in by fingerprint only.
func (r *revision) sum(s *Snapshot) string {
	slices.Sort(r.files)
	h := sha256.New()
	for _, f := range r.files {
		h.Write([]byte(f))
	}
	resolved, err := json.Marshal(struct {
		Settings  Settings
		Providers map[string]*Provider
		Models    map[string]*Model
		Clients   []*Client
	}{s.Settings, s.Providers, s.Models, s.Clients})
	if err != nil {
		panic("config: snapshot has no JSON form: " + err.Error())
	}
	h.Write(resolved)
	return hex.EncodeToString(h.Sum(nil)[:6])
}
