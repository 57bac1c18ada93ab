package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"model-proxy/config"
	"model-proxy/e2e/gatewaytest"
)

func TestMain(m *testing.M) {
	if err := setSecrets(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(gatewaytest.Main(m))
}

// root is the folder of the repository.
const root = ".."

// binary is what gatewaytest.Main has built.
func binary() string { return os.Getenv("MODEL_PROXY_E2E_BINARY") }

// roles are the commands that the files start.
var roles = []string{"run", "ingress", "worker", "logsink"}

// flagLine is a flag in a command's help: its name and, unless it is a switch,
// the word for its value.
var flagLine = regexp.MustCompile(`(?m)^\s+(?:-\w, )?--([a-z-]+)(?: (\w+))?`)

// flagsOf returns the flags of a command by its help; the value says whether it
// takes an argument.
var flagsOf = func() func(command string) (map[string]bool, error) {
	var mu sync.Mutex
	known := map[string]map[string]bool{}
	return func(command string) (map[string]bool, error) {
		mu.Lock()
		defer mu.Unlock()
		if flags, ok := known[command]; ok {
			return flags, nil
		}
		out, err := exec.Command(binary(), append(strings.Fields(command), "--help")...).Output()
		if err != nil {
			return nil, fmt.Errorf("model-proxy %s --help: %w", command, err)
		}
		flags := map[string]bool{}
		for _, m := range flagLine.FindAllStringSubmatch(string(out), -1) {
			flags[m[1]] = m[2] != ""
		}
		known[command] = flags
		return flags, nil
	}
}()

// checkCommand checks a command line of the binary without its name, and
// returns the flags that it gives, by name.
func checkCommand(t *testing.T, where string, words []string) map[string]string {
	t.Helper()
	given := map[string]string{}
	if len(words) == 0 {
		t.Errorf("%s: no command", where)
		return given
	}
	flags, err := flagsOf(words[0])
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return given
	}
	for i := 1; i < len(words); i++ {
		name, value, joined := strings.Cut(strings.TrimPrefix(words[i], "--"), "=")
		takesValue, known := flags[name]
		if !strings.HasPrefix(words[i], "--") || !known {
			t.Errorf("%s: model-proxy %s has no %s", where, words[0], words[i])
			continue
		}
		if takesValue && !joined {
			if i++; i == len(words) {
				t.Errorf("%s: --%s has no value", where, name)
				break
			}
			value = words[i]
		}
		given[name] = value
	}
	return given
}

// providerKey is the shape of the variables of provider and client keys.
var providerKey = regexp.MustCompile(`^[A-Z0-9_]+_API_KEY(_\d+)?$`)

// variables returns the names of all variables that the binary knows by itself.
func variables(t *testing.T) []string {
	t.Helper()
	names := []string{"DATA_DIR", "MODEL_PROXY_CONFIG"}
	fields := reflect.TypeFor[config.Vars]()
	for i := range fields.NumField() {
		names = append(names, fields.Field(i).Tag.Get("envconfig"))
	}
	for _, role := range roles {
		flags, err := flagsOf(role)
		if err != nil {
			t.Fatal(err)
		}
		for name := range flags {
			names = append(names, "MODEL_PROXY_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
		}
	}
	return names
}

// checkVariable reports a variable that neither the binary nor Go's runtime nor
// OpenTelemetry reads.
func checkVariable(t *testing.T, where, name string) {
	t.Helper()
	if slices.Contains([]string{"GOGC", "GOMEMLIMIT", "GOMAXPROCS"}, name) || strings.HasPrefix(name, "OTEL_") ||
		providerKey.MatchString(name) || slices.Contains(variables(t), name) {
		return
	}
	t.Errorf("%s: model-proxy reads no variable %s", where, name)
}

// seconds reads a duration of a file, "330s" or plain seconds.
func seconds(t *testing.T, where, text string) time.Duration {
	t.Helper()
	if !strings.ContainsAny(text, "smh") {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Errorf("%s: %v", where, err)
	}
	return d
}

// flush is what a role needs after its drain to bring its records home.
const flush = 10 * time.Second

// checkGrace reports a process that is killed before it may have drained.
func checkGrace(t *testing.T, where string, grace, before time.Duration, drain string) {
	t.Helper()
	if drain == "" {
		drain = "30s" // the default of --drain
	}
	if need := before + seconds(t, where, drain) + flush; grace < need {
		t.Errorf("%s: killed after %v, needs %v: %v before the drain, %s for it, %v to flush", where, grace, need, before, drain, flush)
	}
}

// read returns a file of the repository.
func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// files are the repository's files that match a pattern; there must be some.
func files(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(found), err)
	}
	for i, f := range found {
		found[i] = strings.TrimPrefix(f, root+"/")
	}
	return found
}
