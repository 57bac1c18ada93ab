package web

import (
	"encoding/json"
	"reflect"
	"strings"

	"model-proxy/internal/usage"
)

// recordSchemas describe the records by the types that they are made from.
func recordSchemas() object {
	request := recordOf(reflect.TypeFor[usage.Request]())
	bodies := request["properties"].(object)
	bodies["request_body"] = object{"type": "string", "description": "Empty unless LOG_BODIES keeps it."}
	bodies["response_body"] = bodies["request_body"]
	return object{
		"RequestRecord": request,
		"AttemptRecord": recordOf(reflect.TypeFor[usage.Attempt]()),
		"RecordList": object{"type": "object", "required": []string{"data"}, "properties": object{
			"data": object{"type": "array", "items": object{"anyOf": []object{ref("RequestRecord"), ref("AttemptRecord")}}}}},
	}
}

// recordOf describes a struct by its json tags.
func recordOf(t reflect.Type) object {
	properties := object{}
	collect(properties, t)
	return object{"type": "object", "properties": properties}
}

func collect(properties object, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			collect(properties, f.Type)
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			properties[name] = schemaOf(f.Type)
		}
	}
}

func schemaOf(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[usage.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return object{"type": []string{"object", "null"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		inner := schemaOf(t.Elem())
		return object{"type": []any{inner["type"], "null"}}
	case reflect.Slice:
		return object{"type": []string{"array", "null"}, "items": schemaOf(t.Elem())}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	}
	return object{"type": "string"}
}
