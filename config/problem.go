package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problem is one fault or warning found while loading.
type Problem struct {
	File    string // as the user wrote it; "environment" for a variable
	Line    int    // counted from 1; 0 if not known
	Column  int    // in bytes from 1; 0 unless the file is not valid JSON
	Field   string // path such as endpoints.base_url, or a variable's name
	Message string // what is wrong and what to do
	Warning bool   // true: the file is used all the same
}

// Error says where, what and what to do in one line, such as
// `config/models/glm.json:12: model_routings[1].provider: "grok" is not defined; did you mean "groq"?`.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Column > 0 {
		fmt.Fprintf(&b, ":%d", p.Column)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// refused is the error of a configuration that was refused whole: the faults
// among its problems, joined. It is nil if there are only warnings.
func refused(problems []Problem) error {
	var faults []error
	for _, p := range problems {
		if !p.Warning {
			faults = append(faults, p)
		}
	}
	return errors.Join(faults...)
}

// sorted puts problems in the order in which a reader mends them: by file,
// then by line, then by field.
func sorted(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Field, b.Field))
	})
	return problems
}

// didYouMean returns `; did you mean "groq"?` for the known name nearest to
// got, or "" if none is near.
func didYouMean(got string, known []string) string {
	best, bestDistance := "", 1+len(got)/3
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := distance(strings.ToLower(got), strings.ToLower(k)); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the number of single-byte edits, two neighbours swapped being
// one, that turn a into b.
func distance(a, b string) int {
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			substitute := last[j-1]
			if a[i-1] != b[j-1] {
				substitute++
			}
			row[j] = min(last[j]+1, row[j-1]+1, substitute)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
