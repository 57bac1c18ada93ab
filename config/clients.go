package config

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// clientFile is one entry of clients.json.
type clientFile struct {
	ID                  string   `json:"id"`
	KeySHA256           string   `json:"key_sha256"`
	KeyEnv              string   `json:"key_env"`
	RequestsPerMinute   *int64   `json:"requests_per_minute"`
	TokensPerMinute     *int64   `json:"tokens_per_minute"`
	MaxParallelRequests *int64   `json:"max_parallel_requests"`
	Models              []string `json:"models"`
	Priority            string   `json:"priority"`
	Disabled            bool     `json:"disabled"`
	Description         note     `json:"description"`
}

const defaultPriority = "normal"

var priorities = []string{"high", "normal", "low"}

var clientKeyPatterns = []string{"CLIENT_API_KEY", "CLIENT_API_KEY_{INDEX}"}

// Authenticate returns the client whose key this is. A disabled client is not
// known. The first eight bytes of the hash pick the candidates: they say
// nothing of use about the key; the rest is compared in constant time.
func (s *Snapshot) Authenticate(key string) (*Client, bool) {
	sum := sha256.Sum256([]byte(key))
	head := binary.LittleEndian.Uint64(sum[:])
	for _, c := range s.Clients {
		if binary.LittleEndian.Uint64(c.KeySHA256[:]) == head && subtle.ConstantTimeCompare(c.KeySHA256[:], sum[:]) == 1 {
			return c, !c.Disabled
		}
	}
	return nil, false
}

// AuthenticateAdmin reports whether key is ADMIN_API_KEY. It is false for
// every key if none is configured.
func (s *Snapshot) AuthenticateAdmin(key string) bool {
	sum := sha256.Sum256([]byte(key))
	return subtle.ConstantTimeCompare(s.Settings.AdminKeySHA256, sum[:]) == 1
}

func adminHash(key Secret) []byte {
	if key.IsZero() {
		return nil
	}
	sum := sha256.Sum256([]byte(key.Reveal()))
	return sum[:]
}

// clientSet collects clients and where each id and key was first seen.
type clientSet struct {
	settings Settings
	clients  []*Client
	ids      map[string]string   // id to place
	keys     map[[32]byte]string // key hash to id
}

func newClientSet(s Settings) *clientSet {
	return &clientSet{settings: s, ids: map[string]string{}, keys: map[[32]byte]string{}}
}

// add takes a client in unless its id or key is taken already; then it
// returns what is wrong.
func (s *clientSet) add(c *Client, place string) (idFault, keyFault string) {
	if other, taken := s.ids[c.ID]; taken {
		return fmt.Sprintf("%q is already the id of the client in %s; give each client its own", c.ID, other), ""
	}
	if other, taken := s.keys[c.KeySHA256]; taken {
		return "", fmt.Sprintf("client %q has the same key as client %q; give each client its own", c.ID, other)
	}
	s.ids[c.ID], s.keys[c.KeySHA256] = place, c.ID
	s.clients = append(s.clients, c)
	return "", ""
}

// addFromEnvironment adds CLIENT_API_KEY as client default and
// CLIENT_API_KEY_<N> as client-<N>.
func (s *clientSet) addFromEnvironment(env *Environment) (problems []Problem) {
	for _, name := range env.variables("", clientKeyPatterns) {
		value, _ := env.Lookup(name)
		id := "default"
		if n, ok := strings.CutPrefix(name, "CLIENT_API_KEY_"); ok {
			id = "client-" + n
		}
		idFault, keyFault := s.add(&Client{
			ID: id, KeySHA256: sha256.Sum256([]byte(strings.TrimSpace(value))), Priority: defaultPriority,
			RequestsPerMinute: s.settings.RequestsPerMinute, TokensPerMinute: s.settings.TokensPerMinute,
		}, name)
		if fault := cmp.Or(idFault, keyFault); fault != "" {
			problems = append(problems, Problem{File: environmentFile, Field: name, Message: fault})
		}
	}
	return problems
}

// addFromFile adds the clients of clients.json. An entry with a fault is left
// out; the others are used.
func (s *clientSet) addFromFile(d *document, env *Environment, models map[string]*Model) {
	d.expand(env)
	if d.root == nil {
		return
	}
	if d.root.kind != array {
		d.fault("", `must be a list of clients, such as [{"id": "alice", "key_env": "ALICE_KEY"}]`)
		return
	}
	for i, item := range d.root.items {
		field := fmt.Sprintf("[%d]", i)
		faults := len(d.problems)
		var f clientFile
		d.intoStruct(item, &f, field)
		c := s.client(d, field, f, env)
		d.checkClientModels(field, f.Models, models)
		if slices.ContainsFunc(d.problems[faults:], func(p Problem) bool { return !p.Warning }) {
			continue
		}
		s.addEntry(d, field, f, c)
	}
}

func (s *clientSet) addEntry(d *document, field string, f clientFile, c *Client) {
	idFault, keyFault := s.add(c, fmt.Sprintf("%s:%d", d.name, d.line(field)))
	keyField := field + ".key_sha256"
	if f.KeyEnv != "" {
		keyField = field + ".key_env"
	}
	if idFault != "" {
		d.fault(field+".id", "%s", idFault)
	}
	if keyFault != "" {
		d.fault(keyField, "%s", keyFault)
	}
}

func (s *clientSet) client(d *document, field string, f clientFile, env *Environment) *Client {
	c := &Client{
		ID: f.ID, Priority: f.Priority, Disabled: f.Disabled,
		RequestsPerMinute: s.settings.RequestsPerMinute, TokensPerMinute: s.settings.TokensPerMinute,
	}
	if f.ID == "" || strings.ContainsFunc(f.ID, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(f.ID) > 128 {
		d.fault(field+".id", "must be a name of 1 to 128 printable characters")
	}
	if c.Priority != priorities[0] { // a client that was given one cannot go above it
		c.MaxPriority = c.Priority
	}
	if c.Priority == "" {
		c.Priority = defaultPriority
	}
	if !slices.Contains(priorities, c.Priority) {
		d.fault(field+".priority", "%q is not one of %s%s", c.Priority, strings.Join(priorities, ", "), didYouMean(c.Priority, priorities))
	}
	for _, n := range []struct {
		name string
		from *int64
		to   *int64
	}{
		{"requests_per_minute", f.RequestsPerMinute, &c.RequestsPerMinute},
		{"tokens_per_minute", f.TokensPerMinute, &c.TokensPerMinute},
		{"max_parallel_requests", f.MaxParallelRequests, &c.MaxParallelRequests},
	} {
		d.notNegative(field+"."+n.name, n.from)
		if n.from != nil {
			*n.to = *n.from
		}
	}
	if f.Models != nil {
		c.Models = map[string]bool{}
		for _, m := range f.Models {
			c.Models[m] = true
		}
	}
	c.KeySHA256 = d.clientKey(field, f, env)
	return c
}

func (d *document) clientKey(field string, f clientFile, env *Environment) (hash [32]byte) {
	switch {
	case (f.KeySHA256 == "") == (f.KeyEnv == ""):
		d.fault(field, "must have one of key_sha256 (as printed by: printf %%s KEY | sha256sum) and key_env")
	case f.KeyEnv != "" && !d.checkVariables(field+".key_env", []string{f.KeyEnv}, env):
	case f.KeyEnv != "":
		value, ok := env.Lookup(f.KeyEnv)
		switch {
		case ok:
		case env.open:
			value = "${" + f.KeyEnv + "}" // whatever it will be, it is another for each variable
		default:
			name := "that is named here"
			if tellable(f.KeyEnv) {
				name = f.KeyEnv
			}
			d.fault(field+".key_env", "the environment variable %s is not set; set it, or give key_sha256", name)
		}
		hash = sha256.Sum256([]byte(strings.TrimSpace(value)))
	default:
		sum, err := hex.DecodeString(f.KeySHA256)
		if err != nil || len(sum) != len(hash) {
			d.fault(field+".key_sha256", "must be 64 hexadecimal digits, as printed by: printf %%s KEY | sha256sum")
			break
		}
		copy(hash[:], sum)
	}
	return hash
}

func (d *document) checkClientModels(field string, wanted []string, models map[string]*Model) {
	for i, m := range wanted {
		if models[m] == nil {
			d.warn(fmt.Sprintf("%s.models[%d]", field, i), "%q is not a configured model%s", m, didYouMean(m, slices.Collect(maps.Keys(models))))
		}
	}
}
