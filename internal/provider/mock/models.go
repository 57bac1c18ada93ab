package mock

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"net/http"
	"strings"
)

// made is when the made-up models were made: 2026-01-01.
const (
	made     = 1767225600
	madeText = "2026-01-01T00:00:00Z"
)

// listModels answers GET /v1/models and /v1/models/{id}, for Anthropic's
// clients (anthropic-version) in their form.
func (a *answering) listModels() {
	a.outcome = OutcomeDone
	one, head, tail := openAIModel, `{"object":"list","data":[`, `]}`
	if a.r.Header.Get("Anthropic-Version") != "" {
		first, last := "", ""
		if n := len(a.mock.models); n > 0 {
			first, last = a.mock.models[0], a.mock.models[n-1]
		}
		one, head = anthropicModel, `{"data":[`
		tail = string(appendf(nil, `],"has_more":false,"first_id":%s,"last_id":%s}`, quoted(first), quoted(last)))
	}
	if _, id, _ := strings.Cut(a.r.URL.Path, "/models"); len(id) > 1 {
		a.write(http.StatusOK, one(nil, id[1:]))
		return
	}
	body := []byte(head)
	for i, id := range a.mock.models {
		if i > 0 {
			body = append(body, ',')
		}
		body = one(body, id)
	}
	a.write(http.StatusOK, append(body, tail...))
}

func openAIModel(dst []byte, id string) []byte {
	return appendf(dst, `{"id":%s,"object":"model","created":%d,"owned_by":"mock"}`, quoted(id), made)
}

func anthropicModel(dst []byte, id string) []byte {
	return appendf(dst, `{"type":"model","id":%s,"display_name":%s,"created_at":%q}`, quoted(id), quoted(id), madeText)
}

// embeddings gives the i-th input a unit vector along axis i, in 16
// dimensions unless the request names another number.
func embeddings(p *prompt) []byte {
	size := 16
	if p.dimensions > 0 {
		size = min(p.dimensions, 4096)
	}
	dst := []byte(`{"object":"list","data":[`)
	for i := range p.inputs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendf(dst, `{"object":"embedding","index":%d,"embedding":`, i)
		dst = append(appendVector(dst, size, i%size, p.base64), '}')
	}
	return appendf(dst, `],"model":%s,"usage":{"prompt_tokens":%d,"total_tokens":%d}}`, quoted(p.model), p.tokens, p.tokens)
}

// appendVector writes the unit vector along axis, as numbers or as the base64
// of little-endian float32s.
func appendVector(dst []byte, size, axis int, packed bool) []byte {
	if packed {
		raw := make([]byte, 4*size)
		binary.LittleEndian.PutUint32(raw[4*axis:], math.Float32bits(1))
		return appendf(dst, "%q", base64.StdEncoding.EncodeToString(raw))
	}
	dst = append(dst, '[')
	for i := range size {
		if i > 0 {
			dst = append(dst, ',')
		}
		if i == axis {
			dst = append(dst, '1')
			continue
		}
		dst = append(dst, '0')
	}
	return append(dst, ']')
}
