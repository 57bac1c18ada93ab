package main

import (
	"maps"
	"strings"
	"testing"
)

// priced is own with a price list.
func priced(list string) map[string]string {
	files := maps.Clone(own)
	files["prices.json"] = list
	return files
}

const fairPrice = `{"date":"2026-09-01","source":"our contract","providers":{"acme":{"up":{"input":1.25,"output":10,"cache_read":0.125,
	"tiers":[{"above_prompt_tokens":1000,"input":2.5}]}}}}`

func TestPricesList(t *testing.T) {
	dir := folder(t, priced(fairPrice))
	command(t, ownEnv, "prices", "list", "--config", dir, "--format", "json").want(t, exitOK,
		`{"model":"good","route":"a","provider":"acme","upstream_model":"up","dollars_per_million":{"input":1.25,"cache_read":0.125,"cache_write":1.25,"cache_write_1h":1.25,"output":10,"reasoning":10},`+
			`"tiers":[{"above_prompt_tokens":1000,"input":2.5,"cache_read":0.125,"cache_write":2.5,"cache_write_1h":2.5,"output":10,"reasoning":10}],"service_tiers":{},`+
			`"entry":"acme/up","date":"2026-09-01","source":"our contract","file":"`+dir+`/prices.json","price_version":"2026-09-01-`)
	command(t, ownEnv, "prices", "list", "--config", dir).want(t, exitOK, "good   acme/up  1.25   0.125", "2.5, 10 above 1000", "Version 2026-09-01-")
	command(t, ownEnv, "prices", "list", "--config", folder(t, own)).want(t, exitOK, "acme/up  no price")
	command(t, ownEnv, "prices", "list", "--config", folder(t, own), "--format", "json").want(t, exitOK, `"dollars_per_million":null,"tiers":[]`)
	command(t, nil, "prices", "list").want(t, exitOK, "no model has a usable route")
	all := command(t, ownEnv, "prices", "list", "--config", dir, "--all").want(t, exitOK, "acme/up", "openai/gpt-5.2", "built-in", "ollama/*")
	if n := strings.Count(all.out, "\n"); n < 500 {
		t.Errorf("got %d lines, want the whole list", n)
	}
}

// Each kind of finding is told, and only those that spoil costs end in 1.
func TestPricesVerify(t *testing.T) {
	entry := func(text string) map[string]string {
		return priced(`{"date":"2026-09-01","providers":{` + text + `}}`)
	}
	for name, c := range map[string]struct {
		files map[string]string
		flags []string
		code  int
		want  string
	}{
		"sound":         {priced(fairPrice), []string{"--months", "1200"}, exitOK, "1 routes have a price, version 2026-09-01-"},
		"unpriced":      {own, nil, exitFailure, `{"providers": {"acme": {"up": {`},
		"contradiction": {entry(`"acme":{"up":{"input":1,"output":2,"cache_read":1.5}}`), nil, exitFailure, "acme/up  cache_read costs 1.5, more than input (1)"},
		"old":           {priced(strings.Replace(fairPrice, "2026", "2020", 1)), nil, exitOK, "1 prices in use are of 2020-09-01"},
		"file":          {entry(`"acme":{"up":{"input":"1","output":2}}`), nil, exitFailure, "must be a number, is a string; write it without quotes; the file is left out"},
		"unused":        {entry(`"acme":{"up":{"input":1,"output":2},"upp":{"input":1,"output":2}}`), nil, exitOK, "acme/upp  no configured route has this price"},
		"differs":       {entry(`"acme":{"up":{"input":1,"output":2}},"openai":{"gpt-5.2":{"input":1750,"output":14000}}`), nil, exitOK, "the list in the binary says 1.75 and 14"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, c.files)
			args := append([]string{"prices", "verify", "--config", dir}, c.flags...)
			command(t, ownEnv, args...).want(t, c.code, c.want)
			if r := command(t, ownEnv, append(args, "--format", "json")...).want(t, c.code); name != "sound" && !strings.Contains(r.out, `"what":"`+name+`"`) {
				t.Errorf("got %q, want a finding %s", r.out, name)
			}
		})
	}
}
