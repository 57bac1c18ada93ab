package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// defaultKeyPatterns are the variables of a provider that names none.
var defaultKeyPatterns = []string{"{PROVIDER}_API_KEY", "{PROVIDER}_API_KEY_{INDEX}"}

const indexMark = "{INDEX}"

// keyName is a provider's name as it stands in variables: upper case, and
// everything but A–Z and 0–9 as _.
func keyName(provider string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(provider))
}

// variables returns the names that the patterns match in the environment: the
// ones without {INDEX} first, as written, then by number. {INDEX} is any
// number; gaps do not matter.
func (e *Environment) variables(provider string, patterns []string) []string {
	type numbered struct {
		index uint64
		name  string
	}
	var plain []string
	var withIndex []numbered
	for _, pattern := range patterns {
		pattern = strings.ReplaceAll(pattern, "{PROVIDER}", keyName(provider))
		before, after, indexed := strings.Cut(pattern, indexMark)
		if !indexed {
			if _, ok := e.Lookup(pattern); ok {
				plain = append(plain, pattern)
			}
			continue
		}
		for _, name := range e.Names() {
			digits, ok := strings.CutPrefix(name, before)
			if !ok {
				continue
			}
			if digits, ok = strings.CutSuffix(digits, after); !ok {
				continue
			}
			if i, err := strconv.ParseUint(digits, 10, 64); err == nil {
				withIndex = append(withIndex, numbered{i, name})
			}
		}
	}
	slices.SortStableFunc(withIndex, func(a, b numbered) int { return cmp.Compare(a.index, b.index) })
	for _, n := range withIndex {
		plain = append(plain, n.name)
	}
	return plain
}

// keys reads the API keys that the patterns name, each value once. Those that
// no HTTP header can carry are left out and returned as bad, by variable.
func (e *Environment) keys(provider string, patterns []string) (keys []Key, bad []string) {
	seen := map[string]bool{}
	for _, name := range e.variables(provider, patterns) {
		value, _ := e.Lookup(name)
		value = strings.TrimSpace(value)
		if value == "" || seen[value] {
			continue
		}
		seen[value] = true
		if !headerValue(value) {
			bad = append(bad, name)
			continue
		}
		keys = append(keys, Key{Secret: NewSecret(value), Env: name})
	}
	return keys, bad
}

// checkVariables notes a fault unless all patterns can be names of variables.
// The fault does not show them: a key may stand there by mistake.
func (d *document) checkVariables(field string, patterns []string, env *Environment) bool {
	for _, p := range patterns {
		if !env.nameable(p) {
			d.fault(field, "must be the name of an environment variable, such as ACME_API_KEY, and neither a key nor ${NAME}")
			return false
		}
	}
	return true
}

// nameable reports whether a pattern can be the name of variables. The value of one,
// as ${NAME} leaves it, cannot.
func (e *Environment) nameable(pattern string) bool {
	name := strings.NewReplacer("{PROVIDER}", "P", indexMark, "1").Replace(pattern)
	if !variableName.MatchString(name) {
		return false
	}
	if _, set := e.Lookup(name); set {
		return true
	}
	for _, value := range e.values {
		if strings.TrimSpace(value) == name {
			return false
		}
	}
	return true
}

// tellable reports whether messages may repeat the name of a variable that is not
// set. With small letters it looks like a key that was put in its place.
func tellable(name string) bool { return strings.ToUpper(name) == name }

// keyNames names for the user the variables that the patterns look for.
func keyNames(provider string, patterns []string) string {
	var out []string
	for _, p := range patterns {
		p = strings.ReplaceAll(p, "{PROVIDER}", keyName(provider))
		p = strings.ReplaceAll(p, indexMark, "1")
		if !tellable(p) {
			p = "the variable that is named there"
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return strings.Join(out, " or ")
}
