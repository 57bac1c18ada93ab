package config

import (
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// names is a JSON string or list of strings.
type names []string

// note is a field for human readers. It may hold anything and is not read.
type note struct{}

var (
	rawType   = reflect.TypeFor[json.RawMessage]()
	namesType = reflect.TypeFor[names]()
	noteType  = reflect.TypeFor[note]()
)

// decode fills the struct that v points to. Unlike encoding/json it goes on
// after a fault, so that the user sees all of them at once, and warns about
// fields that nothing reads. null leaves a field as it is.
func (d *document) decode(v any) {
	if d.root != nil {
		d.into(d.root, reflect.ValueOf(v).Elem(), "")
	}
}

// intoStruct is decode for a part of the document.
func (d *document) intoStruct(n *node, v any, path string) {
	d.into(n, reflect.ValueOf(v).Elem(), path)
}

func (d *document) into(n *node, v reflect.Value, path string) {
	if n.kind == null || v.Type() == noteType {
		return
	}
	switch {
	case v.Type() == rawType:
		v.SetBytes(n.json())
		return
	case v.Type() == namesType && n.kind == text:
		v.Set(reflect.ValueOf(names{n.scalar}))
		return
	case v.Type() == namesType && n.kind != array:
		d.fault(path, "must be a string or a list of strings, is %s", n.kind)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		target, before := reflect.New(v.Type().Elem()), len(d.problems)
		d.into(n, target.Elem(), path)
		if len(d.problems) == before || target.Elem().Kind() == reflect.Struct { // a wrong value is as none
			v.Set(target)
		}
	case reflect.Struct:
		if d.want(n, object, path) {
			d.fields(n, v, path)
		}
	case reflect.Map:
		if d.want(n, object, path) {
			d.entries(n, v, path)
		}
	case reflect.Slice:
		if d.want(n, array, path) {
			d.items(n, v, path)
		}
	case reflect.String:
		if d.want(n, text, path) {
			v.SetString(n.scalar)
		}
	case reflect.Bool:
		if d.want(n, boolean, path) {
			v.SetBool(n.scalar == "true")
		}
	case reflect.Int, reflect.Int64, reflect.Float64:
		if d.want(n, number, path) {
			d.number(n, v, path)
		}
	default:
		panic("config: no rule to decode into " + v.Type().String())
	}
}

func (d *document) want(n *node, k kind, path string) bool {
	if n.kind == k {
		return true
	}
	what := ""
	switch {
	case n.kind == text && (k == number || k == boolean):
		what = "; write it without quotes"
	case k == array:
		what = "; put it in [ ]"
	}
	d.fault(path, "must be %s, is %s%s", k, n.kind, what)
	return false
}

func (d *document) fields(n *node, v reflect.Value, path string) {
	index := map[string][]int{}
	for _, f := range reflect.VisibleFields(v.Type()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			index[name] = f.Index
		}
	}
	for _, name := range n.order {
		at := join(path, name)
		i, known := index[name]
		switch {
		case known:
			d.into(n.fields[name], v.FieldByIndex(i), at)
		case strings.HasPrefix(name, "_") || strings.HasPrefix(name, "$"): // the usual forms of a comment
		default:
			d.warn(at, "is not a field known here and has no effect%s", didYouMean(name, slices.Collect(maps.Keys(index))))
		}
	}
}

func (d *document) entries(n *node, v reflect.Value, path string) {
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.order)))
	for _, name := range n.order {
		entry := reflect.New(v.Type().Elem()).Elem()
		d.into(n.fields[name], entry, join(path, name))
		v.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), entry)
	}
}

func (d *document) items(n *node, v reflect.Value, path string) {
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		d.into(item, v.Index(i), path+"["+strconv.Itoa(i)+"]")
	}
}

func (d *document) number(n *node, v reflect.Value, path string) {
	f, err := strconv.ParseFloat(n.scalar, 64)
	if err != nil {
		d.fault(path, "%s is out of range", n.scalar)
		return
	}
	if v.Kind() == reflect.Float64 {
		v.SetFloat(f)
		return
	}
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		d.fault(path, "must be a whole number, is %s", n.scalar)
		return
	}
	v.SetInt(int64(f))
}

// reference is ${NAME}, or ${NAME:-what to use if NAME is not set}.
var reference = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-)([^}]*))?\}`)

// expand replaces every ${NAME} in the document's strings from the
// environment. One that is not set is a fault.
func (d *document) expand(env *Environment) {
	if d.root != nil {
		d.expandNode(d.root, "", env)
	}
}

func (d *document) expandNode(n *node, path string, env *Environment) {
	for _, name := range n.order {
		d.expandNode(n.fields[name], join(path, name), env)
	}
	for i, item := range n.items {
		d.expandNode(item, path+"["+strconv.Itoa(i)+"]", env)
	}
	if n.kind != text || !strings.Contains(n.scalar, "${") {
		return
	}
	n.scalar = reference.ReplaceAllStringFunc(n.scalar, func(ref string) string {
		parts := reference.FindStringSubmatch(ref)
		if value, ok := env.Lookup(parts[1]); ok {
			return value
		}
		switch {
		case parts[2] != "":
		case env.open:
			return ref
		default:
			other := ", or write ${" + parts[1] + ":-value} to give a default"
			if d.shipped {
				other = "" // the file is in the binary
			}
			d.fault(path, "the environment variable %s is not set; set it%s", parts[1], other)
		}
		return parts[3]
	})
}
