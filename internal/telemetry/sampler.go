package telemetry

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/sdk/trace"
)

// samplers are the values of OTEL_TRACES_SAMPLER, by what they do with a
// ratio. Those named parentbased_… keep to what the caller has decided.
var samplers = []struct {
	name string
	make func(ratio float64) trace.Sampler
}{
	{"parentbased_always_on", func(float64) trace.Sampler { return trace.ParentBased(trace.AlwaysSample()) }}, // the default
	{"parentbased_always_off", func(float64) trace.Sampler { return trace.ParentBased(trace.NeverSample()) }},
	{"parentbased_traceidratio", func(r float64) trace.Sampler { return trace.ParentBased(trace.TraceIDRatioBased(r)) }},
	{"always_on", func(float64) trace.Sampler { return trace.AlwaysSample() }},
	{"always_off", func(float64) trace.Sampler { return trace.NeverSample() }},
	{"traceidratio", trace.TraceIDRatioBased},
}

// newSampler makes the sampler that a name and its argument ask for.
func newSampler(name, arg string) (trace.Sampler, error) {
	ratio := 1.0
	if arg != "" && strings.HasSuffix(name, "traceidratio") {
		var err error
		if ratio, err = strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %q is not a number from 0 to 1", arg)
		}
	}
	if name == "" {
		return samplers[0].make(ratio), nil
	}
	var names []string
	for _, s := range samplers {
		if s.name == name {
			return s.make(ratio), nil
		}
		names = append(names, s.name)
	}
	slices.Sort(names)
	return nil, fmt.Errorf("OTEL_TRACES_SAMPLER: %q is not one of %s", name, strings.Join(names, ", "))
}
