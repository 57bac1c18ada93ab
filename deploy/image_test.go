package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The contract is an image under 40 MB: the binary is all but 0.3 MB of it. It is
// built by the Dockerfile's own line, but for -trimpath, which changes little
// and would have everything compiled anew.
func TestImageSize(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "model-proxy")
	stage, _ := instructions(t)
	line, _, _ := strings.Cut(stage["RUN"][len(stage["RUN"])-1], "&&")
	line = strings.NewReplacer("-trimpath", "", "/out/model-proxy", file).Replace(line)
	build := exec.Command("sh", "-c", line)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(39_700_000); info.Size() > limit {
		t.Errorf("the binary has %d bytes, want at most %d", info.Size(), limit)
	}
}

// instructions are the lines of the Dockerfile's last stage, and those before it.
func instructions(t *testing.T) (build, image map[string][]string) {
	t.Helper()
	stages := []map[string][]string{}
	text := strings.ReplaceAll(string(read(t, "Dockerfile")), "\\\n", " ")
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "" || word[0] == '#' {
			continue
		}
		if word == "FROM" {
			stages = append(stages, map[string][]string{})
		}
		last := stages[len(stages)-1]
		last[word] = append(last[word], strings.TrimSpace(rest))
	}
	if len(stages) != 2 {
		t.Fatalf("%d stages, want 2", len(stages))
	}
	return stages[0], stages[1]
}

// The image fits the files that run it: no root, data where the volumes are,
// configuration where ./config is looked for, the build with this Go.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	build, image := instructions(t)
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(read(t, "go.mod")))[1]
	for _, c := range []struct {
		instruction string
		got         []string
		want        string
	}{
		{"FROM of the build", build["FROM"], "golang:" + version + " AS build"},
		{"FROM", image["FROM"], "scratch"},
		{"USER", image["USER"], "65532:65532"},
		{"WORKDIR", image["WORKDIR"], "/app"},
		{"ENV", image["ENV"], "DATA_DIR=/data"},
		{"VOLUME", image["VOLUME"], "/data"},
		{"EXPOSE", image["EXPOSE"], "8000"},
		{"ENTRYPOINT", image["ENTRYPOINT"], `["/model-proxy"]`},
	} {
		if !slices.Equal(c.got, []string{c.want}) {
			t.Errorf("%s %q, want %q", c.instruction, c.got, c.want)
		}
	}
	for _, path := range composeFiles {
		for name, s := range readCompose(t, path).Services {
			if s.isRole() && (!slices.Contains(s.Volumes, "./config:/app/config:ro") || !slices.Contains(s.Volumes, "spool:/data")) {
				t.Errorf("%s: %s mounts %q, want ./config at /app/config and a volume at /data", path, name, s.Volumes)
			}
		}
	}
}

// What .dockerignore leaves out is not needed to build.
func TestDockerIgnore(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "model-proxy/cmd/model-proxy").Output()
	if err != nil {
		t.Fatal(err)
	}
	ignored := strings.Fields(string(read(t, ".dockerignore")))
	for pkg := range strings.Lines(string(out)) {
		path, ours := strings.CutPrefix(strings.TrimSpace(pkg), "model-proxy/")
		top, _, _ := strings.Cut(path, "/")
		if ours && slices.Contains(ignored, top) {
			t.Errorf(".dockerignore leaves out %s, which the binary is made of", path)
		}
	}
}
