package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/joho/godotenv"
)

// parseEnv reads the text of a .env file. A $ is itself unless it is followed by
// a name in braces: keys and passwords hold some, and the predecessor's files
// were read so. godotenv takes $NAME for a variable too, so it is not shown them.
func parseEnv(text []byte) (map[string]string, error) {
	const hidden = "\x00" // no variable can hold it
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	text = dollar.ReplaceAllFunc(text, func(found []byte) []byte {
		if string(found) == "$" {
			return []byte(hidden)
		}
		return found
	})
	values, err := godotenv.UnmarshalBytes(text)
	for name, value := range values {
		values[name] = strings.ReplaceAll(value, hidden, "$")
	}
	return values, err
}

// dollar finds a $ with what says that it is not itself, or that it is.
var dollar = regexp.MustCompile(`\\?\$\{?`)

// setEnv sets variables in a .env file, which need not exist. All other lines
// stay as they are. The file becomes readable by its owner only.
func setEnv(file string, values map[string]string) error {
	if len(values) == 0 {
		return nil
	}
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read environment file: %w", err)
	}
	before, err := parseEnv(old)
	if err != nil {
		return fmt.Errorf("%s: not a list of NAME=value lines; mend it first", file)
	}
	text := string(old)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !variableName.MatchString(name) {
			return fmt.Errorf("%q cannot be the name of an environment variable", name)
		}
		text = setLine(text, name, values[name])
	}
	// A value over several lines or with odd quoting may have been cut by the
	// edit: read the result back before it replaces anything.
	want := maps.Clone(before)
	maps.Copy(want, values)
	after, err := parseEnv([]byte(text))
	if err != nil || !maps.Equal(after, want) {
		return fmt.Errorf("%s: cannot be edited without changing other lines; set %s by hand", file, strings.Join(slices.Sorted(maps.Keys(values)), ", "))
	}
	return writeFile(file, bytes.TrimLeft([]byte(text), "\n"), secretMode)
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// setLine replaces the line that sets name, or appends one.
func setLine(text, name, value string) string {
	line := name + "=" + quoteEnv(value)
	set := regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+)?` + name + `[ \t]*[=:].*$`)
	if at := set.FindAllStringIndex(text, -1); len(at) > 0 {
		last := at[len(at)-1] // of several lines the last one counts
		return text[:last[0]] + line + text[last[1]:]
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + line + "\n"
}

var plainValue = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// quoteEnv writes a value so that godotenv reads it back unchanged.
func quoteEnv(value string) string {
	switch {
	case plainValue.MatchString(value):
		return value
	case !strings.ContainsAny(value, "'\n\r"):
		return "'" + value + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "$", `\$`).Replace(value) + `"`
}
