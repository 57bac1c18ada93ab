package convert

import (
	"model-proxy/internal/llm"
)

// conversion is what an exchange between two protocols keeps.
type conversion struct{}

type streamConversion struct{}

func (x *Exchange) convertRequest() ([]byte, error) {
	e := llm.NewError(llm.BadRequest, "the model's provider does not speak "+string(x.in.Client)+" and no conversion to "+string(x.target.Protocol)+" exists")
	e.Code = "unsupported_by_target"
	return nil, e
}

func (c *conversion) answer(dst []byte, x *Exchange, body []byte) ([]byte, error) { return dst, nil }

func (x *Exchange) streamFromAnswer(dst, body []byte) ([]byte, error) { return dst, nil }

func newStreamConversion(x *Exchange) *streamConversion { return nil }

func (s *Stream) convert(dst []byte, e llm.Event, data []byte, r reading) ([]byte, Emitted, error) {
	return dst, Emitted{}, nil
}

func (s *Stream) endConversion(dst []byte) ([]byte, error) { return dst, nil }
