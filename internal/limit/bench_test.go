package limit

import "testing"

// What a request pays for its limits when no lease has to be renewed.
func BenchmarkAdmit(b *testing.B) {
	rows := []struct {
		name   string
		client Client
	}{
		{"none", Client{ID: "c"}},
		{"requests", Client{ID: "c", RequestsPerMinute: 1_000_000_000}},
		{"requests and tokens", Client{ID: "c", RequestsPerMinute: 1_000_000_000, TokensPerMinute: 1_000_000_000}},
		{"all three", Client{ID: "c", RequestsPerMinute: 1_000_000_000, TokensPerMinute: 1_000_000_000, MaxParallel: 100_000}},
	}
	s := startNATS(b)
	for _, row := range rows {
		b.Run(row.name, func(b *testing.B) {
			in := startIngress(b, s, "a")
			b.ReportAllocs()
			for b.Loop() {
				g, d := in.Admit(b.Context(), row.client, Estimate{Prompt: 2, MaxTokens: 2})
				if d != nil {
					b.Fatalf("got refused for %s (%v), want admitted", d.Reason, d.Cause)
				}
				g.Settle(2, 1)
				g.Release()
			}
		})
	}
}
