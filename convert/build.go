package convert

import (
	"strconv"

	"model-proxy/internal/rawjson"
)

// build writes JSON. Commas are its own business: one is due wherever the last
// byte does not open a container or end a name.
type build struct{ b []byte }

func (o *build) comma() {
	if n := len(o.b); n > 0 && o.b[n-1] != '{' && o.b[n-1] != '[' && o.b[n-1] != ':' {
		o.b = append(o.b, ',')
	}
}

// key begins a member; one of the value methods must follow.
func (o *build) key(name string) *build {
	o.comma()
	o.b = rawjson.AppendString(o.b, name)
	o.b = append(o.b, ':')
	return o
}

func (o *build) open(brace byte) {
	o.comma()
	o.b = append(o.b, brace)
}

func (o *build) close(brace byte) { o.b = append(o.b, brace) }

func (o *build) str(s string) {
	o.comma()
	o.b = rawjson.AppendString(o.b, s)
}

func (o *build) int(n int64) {
	o.comma()
	o.b = strconv.AppendInt(o.b, n, 10)
}

// raw writes JSON text as it is, null if there is none.
func (o *build) raw(text []byte) {
	o.comma()
	if len(text) == 0 {
		text = []byte("null")
	}
	o.b = append(o.b, text...)
}

func (o *build) lit(text string) {
	o.comma()
	o.b = append(o.b, text...)
}

func (o *build) bool(b bool) {
	o.comma()
	o.b = strconv.AppendBool(o.b, b)
}

func (o *build) strOrNull(s string) {
	o.comma()
	o.b = appendOrNull(o.b, s)
}

func number64(n int64) string { return strconv.FormatInt(n, 10) }
