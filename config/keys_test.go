package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKeyPatterns(t *testing.T) {
	both := []string{"{PROVIDER}_API_KEY", "{PROVIDER}_API_KEY_{INDEX}"}
	for _, test := range []struct {
		name, provider string
		patterns       []string
		environ        []string
		want, bad      []string
	}{
		{"number order, gaps, the plain one first", "openai", both,
			[]string{"OPENAI_API_KEY_10=c", "OPENAI_API_KEY_2=b", "OPENAI_API_KEY=a", "OPENAI_API_KEY_0007=d"},
			[]string{"OPENAI_API_KEY", "OPENAI_API_KEY_2", "OPENAI_API_KEY_0007", "OPENAI_API_KEY_10"}, nil},
		{"the plain one first also where it is listed last", "openai", []string{both[1], both[0]},
			[]string{"OPENAI_API_KEY_1=b", "OPENAI_API_KEY=a"}, []string{"OPENAI_API_KEY", "OPENAI_API_KEY_1"}, nil},
		{"one value once", "openai", both,
			[]string{"OPENAI_API_KEY=a", "OPENAI_API_KEY_1=a", "OPENAI_API_KEY_2=b", "OPENAI_API_KEY_3= b "},
			[]string{"OPENAI_API_KEY", "OPENAI_API_KEY_2"}, nil},
		{"only numbers are an index", "openai", both,
			[]string{"OPENAI_API_KEY_BACKUP=a", "OPENAI_API_KEY_=b", "OPENAI_API_KEY_-1=c", "OPENAI_API_KEY_99999999999999999999=d"}, nil, nil},
		{"a name with other characters", "my-host.2", both,
			[]string{"MY_HOST_2_API_KEY=a"}, []string{"MY_HOST_2_API_KEY"}, nil},
		{"an index inside", "openai", []string{"KEY_{INDEX}_OF_{PROVIDER}"},
			[]string{"KEY_2_OF_OPENAI=b", "KEY_1_OF_OPENAI=a"}, []string{"KEY_1_OF_OPENAI", "KEY_2_OF_OPENAI"}, nil},
		{"a value that no header can carry", "openai", both,
			[]string{"OPENAI_API_KEY=a\nb", "OPENAI_API_KEY_1=ok"}, []string{"OPENAI_API_KEY_1"}, []string{"OPENAI_API_KEY"}},
		{"empty and blank", "openai", both, []string{"OPENAI_API_KEY=", "OPENAI_API_KEY_1=  "}, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			env, err := ReadEnvironment("", test.environ)
			if err != nil {
				t.Fatal(err)
			}
			keys, bad := env.keys(test.provider, test.patterns)
			var got []string
			for _, k := range keys {
				got = append(got, k.Env)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("variables (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.bad, bad); diff != "" {
				t.Errorf("bad values (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProvidersKeys(t *testing.T) {
	file := func(fields string) map[string]string {
		return map[string]string{"providers/p.json": `{"endpoints": {"base_url": "http://p.test"}` + fields + `}`}
	}
	environ := []string{"P_API_KEY=a", "P_API_KEY_1=b", "ONE=c", "TWO=d"}
	for _, test := range []struct {
		name, fields string
		want         []string
	}{
		{"no patterns: the usual variables", "", []string{"P_API_KEY", "P_API_KEY_1"}},
		{"the singular and the plural", `, "api_keys": {"env_var_pattern": "ONE", "env_var_patterns": ["TWO"]}`, []string{"ONE", "TWO"}},
		{"the older form", `, "api_key_env_patterns": ["TWO"]`, []string{"TWO"}},
		{"no key is needed", `, "authentication": {"type": "none"}`, []string{""}},
		{"no header", `, "authentication": {"header_name": ""}, "api_keys": {"env_var_patterns": ["ONE"]}`, []string{""}},
		{"no key is needed, but one is set", `, "authentication": {"type": "none"}, "api_keys": {"env_var_patterns": ["ONE"]}`, []string{"ONE"}},
		{"none is set", `, "api_keys": {"env_var_patterns": ["THREE"]}`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := load(t, file(test.fields), environ...).Providers["p"]
			var got []string
			for _, k := range p.Keys {
				got = append(got, k.Env)
				if (k.Env == "") != k.Secret.IsZero() {
					t.Errorf("key from %q: got zero %v", k.Env, k.Secret.IsZero())
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("variables (-want +got):\n%s", diff)
			}
		})
	}
}
