package config

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEnvironmentWinsOverEnvFile(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, ".env", "KEY_COOLDOWN_SECONDS=10\nLOG_BODIES=all\nONLY_HERE='a b'\nMAX_REQUEST_BYTES=\n")
	env, err := ReadEnvironment("", []string{"KEY_COOLDOWN_SECONDS=20", "LOG_BODIES=", "NATS_REPLICAS="})
	if err != nil {
		t.Fatal(err)
	}
	if got := env.Vars.KeyCooldownSeconds; got != 20 {
		t.Errorf("KEY_COOLDOWN_SECONDS: got %d, want the environment's 20", got)
	}
	if got := env.Vars.LogBodies; got != "all" {
		t.Errorf("LOG_BODIES: got %q, want all: an empty variable hides nothing", got)
	}
	if got, _ := env.Lookup("ONLY_HERE"); got != "a b" {
		t.Errorf("ONLY_HERE: got %q, want a b", got)
	}
	if _, set := env.Lookup("NATS_REPLICAS"); set || env.Vars.NATSReplicas != 1 || env.Vars.MaxRequestBytes != 32<<20 {
		t.Errorf("empty variables: got replicas %d and %d bytes, want the defaults", env.Vars.NATSReplicas, env.Vars.MaxRequestBytes)
	}
	if _, set := os.LookupEnv("ONLY_HERE"); set {
		t.Error("the process's own environment was changed")
	}
}

// A secret that comes from a file, as containers get theirs, often ends in that
// file's last line break.
func TestSpaceAroundVariablesIsNoPartOfThem(t *testing.T) {
	s := load(t, map[string]string{}, "ADMIN_API_KEY=root\n", "RATE_LIMIT_REQUESTS_PER_MINUTE= 7\n", "CLIENT_API_KEY_2=two\n", "CLIENT_API_KEY_3= \n")
	if !s.AuthenticateAdmin("root") {
		t.Error("the admin key is refused for the line break behind it")
	}
	if got := s.Settings.RequestsPerMinute; got != 7 {
		t.Errorf("requests per minute: got %d, want 7", got)
	}
	if len(s.Clients) != 2 || s.Clients[1].ID != "client-2" {
		t.Errorf("got clients %v, want default and client-2: a blank variable names nobody", s.Clients)
	}
	env, err := ReadEnvironment("", []string{"NATS_TOKEN=secret\n", "CLICKHOUSE_DSN=clickhouse://h\n", "ADMIN_API_KEY= "})
	if err != nil {
		t.Fatal(err)
	}
	if got := env.Vars.NATSToken.Reveal() + " " + env.Vars.ClickHouseDSN.Reveal(); got != "secret clickhouse://h" {
		t.Errorf("got %q, want both without the line break", got)
	}
	if !env.Vars.AdminAPIKey.IsZero() {
		t.Error("a blank ADMIN_API_KEY counts as set")
	}
}

func TestSettingsDefaults(t *testing.T) {
	got := load(t, map[string]string{}).Settings
	want := Settings{
		KeyCooldown: 300 * time.Second, MaxKeyCycles: 1, BreakerFailures: 5, BreakerRest: 30 * time.Second, KeyAffinity: true,
		RequestsPerMinute: 60, TokensPerMinute: 100000, CORSOrigins: []string{"*"}, LogBodies: "none",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestSettings(t *testing.T) {
	s := load(t, map[string]string{}, "KEY_COOLDOWN_SECONDS=-1", "KEY_AFFINITY=off", "RATE_LIMIT_REQUESTS_PER_MINUTE=0",
		"CORS_ORIGINS=https://a.test, https://b.test,", "ADMIN_API_KEY=root")
	if got := s.Settings.KeyCooldown; got != -time.Second {
		t.Errorf("cooldown: got %v, want -1s, which switches cooldowns off", got)
	}
	if s.Settings.KeyAffinity || s.Settings.RequestsPerMinute != 0 {
		t.Errorf("got affinity %v and %d requests, want both off", s.Settings.KeyAffinity, s.Settings.RequestsPerMinute)
	}
	if diff := cmp.Diff([]string{"https://a.test", "https://b.test"}, s.Settings.CORSOrigins); diff != "" {
		t.Errorf("origins (-want +got):\n%s", diff)
	}
	for key, want := range map[string]bool{"root": true, "toor": false, "": false} {
		if got := s.AuthenticateAdmin(key); got != want {
			t.Errorf("admin key %q: got %v, want %v", key, got, want)
		}
	}
	if load(t, map[string]string{}).AuthenticateAdmin("") {
		t.Error("no admin key is configured: got true for the empty key")
	}
}

func TestBrokenEnvFileShowsNoKey(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "keys.env", "OPENAI_API_KEY=\"sk-secret\nB=1\n!\n")
	_, err := ReadEnvironment("keys.env", nil)
	if err == nil || strings.Contains(err.Error(), "sk-secret") || !strings.Contains(err.Error(), "keys.env") {
		t.Errorf("got error %v, want one that names the file and shows no key", err)
	}
}

// A number of seconds that is too large for a time.Duration is a long rest, not none.
func TestRestsDoNotOverflow(t *testing.T) {
	for seconds, want := range map[string]time.Duration{"9223372036854775807": longestRest, "10000000000": longestRest, "-9223372036854775808": -time.Second, "7": 7 * time.Second} {
		if got := load(t, map[string]string{}, "KEY_COOLDOWN_SECONDS="+seconds).Settings.KeyCooldown; got != want {
			t.Errorf("KEY_COOLDOWN_SECONDS=%s: got %v, want %v", seconds, got, want)
		}
	}
}
