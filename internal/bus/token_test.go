package bus

import (
	"strings"
	"testing"
)

func TestToken(t *testing.T) {
	forty := strings.Repeat("a", 40)
	for _, tt := range []struct{ name, want string }{
		{"openai", "openai"},
		{"gpt-5_mini", "gpt-5_mini"},
		{"0123456789ab", "0123456789ab"},
		{"x", "x"},
		{"xy_", "xy_"},
		{forty, forty},
		{forty + "a", "x_c0f8bd4dbc2b0c03107c"},
		{"", "x_e3b0c44298fc1c149afb"},
		{"gpt-5.2", "x_131e2083b68bde4fe879"},
		{"a b", "x_c8687a08aa5d6ed20443"},
		{"x_openai", "x_368f5c549c253a4a83c4"},
		{">", "x_62b67e1f685b7fef5110"},
		{"*", "x_684888c0ebb17f374298"},
		{"modèle", "x_bf5d8ba8ce62f34b740b"},
	} {
		if got := Token(tt.name); got != tt.want {
			t.Errorf("Token(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add("openai", "x_openai")
	f.Add("a.b", "a b")
	f.Fuzz(func(t *testing.T, a, b string) {
		got := Token(a)
		if got == "" || len(got) > 40 || strings.ContainsAny(got, ".*> \t\r\n\x00$") {
			t.Errorf("Token(%q) = %q: not one token", a, got)
		}
		if a != b && got == Token(b) {
			t.Errorf("Token(%q) and Token(%q) are both %q", a, b, got)
		}
	})
}
