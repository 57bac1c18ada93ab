package rawjson

import "slices"

// Edits collects changes to one checked object and makes them in one copy, in
// which all other bytes are the old ones. The zero Edits changes nothing.
type Edits struct {
	replaced []replacement
	added    []byte // members to stand at the end, each with a comma before it
}

type replacement struct {
	start, end int
	with       []byte
}

// Empty reports whether there is nothing to change.
func (e *Edits) Empty() bool { return len(e.replaced) == 0 && len(e.added) == 0 }

// Replace gives m, a member found in the text, a new raw value.
func (e *Edits) Replace(m Member, raw []byte) { e.ReplaceSpan(m.Start, m.End, raw) }

// ReplaceSpan puts raw where [start, end) of the text was. Spans must not overlap.
func (e *Edits) ReplaceSpan(start, end int, raw []byte) {
	e.replaced = append(e.replaced, replacement{start, end, raw})
}

// Add puts a member behind the last one.
func (e *Edits) Add(name string, raw []byte) {
	e.added = append(e.added, ',')
	e.added = AppendString(e.added, name)
	e.added = append(e.added, ':')
	e.added = append(e.added, raw...)
}

// Append appends the changed object to dst.
func (e *Edits) Append(dst, data []byte) []byte {
	slices.SortFunc(e.replaced, func(a, b replacement) int { return a.start - b.start })
	dst = slices.Grow(dst, len(data)+len(e.added)+64)
	at := 0
	for _, r := range e.replaced {
		dst = append(dst, data[at:r.start]...)
		dst = append(dst, r.with...)
		at = r.end
	}
	if len(e.added) == 0 {
		return append(dst, data[at:]...)
	}
	brace := len(data) - 1
	for data[brace] != '}' {
		brace--
	}
	last := brace // behind the last member, before the white space that follows it
	for last > at && space(data[last-1:last], 0) == 1 {
		last--
	}
	dst = append(dst, data[at:last]...)
	added := e.added
	if data[last-1] == '{' {
		added = added[1:] // the object was empty
	}
	dst = append(dst, added...)
	return append(dst, data[last:]...)
}

// AppendWithout appends the checked object data to dst without the members drop
// asks to leave out. All other bytes stay, white space between members included.
func AppendWithout(dst, data []byte, drop func(quotedName, raw []byte) bool) []byte {
	i := space(data, 0)
	dst = append(dst, data[:i+1]...)
	i++
	kept := false
	for {
		segment := i // from behind the brace or comma
		i = space(data, i)
		if i >= len(data) || data[i] != '"' {
			return append(dst, data[segment:]...)
		}
		nameEnd, start, named := skipName(data, i)
		stop, whole := skip(data, start)
		if !named || !whole {
			return append(dst, data[segment:]...)
		}
		name := data[i:nameEnd]
		i = space(data, stop)
		if !drop(name, data[start:stop]) {
			if kept {
				dst = append(dst, ',')
			}
			kept = true
			dst = append(dst, data[segment:i]...)
		}
		if i >= len(data) || data[i] != ',' {
			return append(dst, data[i:]...)
		}
		i++
	}
}

// AppendDeleted appends the checked object data to dst without its member m and
// the comma that goes with it. All other bytes stay.
func AppendDeleted(dst, data []byte, m Member) []byte {
	start, stop := m.Key, m.End
	for space(data[start-1:start], 0) == 1 {
		start--
	}
	if data[start-1] == ',' {
		start--
	} else if after := space(data, stop); data[after] == ',' {
		stop = after + 1
	}
	dst = append(dst, data[:start]...)
	return append(dst, data[stop:]...)
}
