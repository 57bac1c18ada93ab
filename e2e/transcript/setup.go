package transcript

import "model-proxy/e2e/gatewaytest"

// Setup is the providers and models that the script plays, all at url: for each
// protocol p the models script-<p> and script-forgetful-<p>, and
// script-budget-anthropic, whose thinking has a budget.
func Setup(url string) gatewaytest.Setup {
	files := map[string]gatewaytest.JSON{}
	for _, p := range protocols {
		name := ModelPrefix + "-" + p.wire.name
		provider := gatewaytest.Provider(name, p.wire.name, url)
		provider["api_keys"] = gatewaytest.JSON{"env_var_patterns": []string{"OPENAI_API_KEY"}}
		provider["models"] = capabilities
		files["providers/"+name+".json"] = provider
	}
	for model, provider := range models {
		files["models/"+model+".json"] = gatewaytest.JSON{"logical_name": model,
			"model_routings": []gatewaytest.JSON{{"id": "only", "provider": provider, "model": model}}}
	}
	files["providers/script-openai.json"]["vendor"] = "deepseek" // it shows its reasoning, as OpenAI does not
	return gatewaytest.Setup{Files: files}
}

// models are the logical models, named like the upstream's own, by provider.
var models = map[string]string{
	"script-openai": "script-openai", "script-forgetful-openai": "script-openai",
	"script-anthropic": "script-anthropic", "script-forgetful-anthropic": "script-anthropic",
	"script-budget-anthropic": "script-anthropic", "script-budget-forgetful-anthropic": "script-anthropic",
	"script-openai-responses": "script-openai-responses", "script-forgetful-openai-responses": "script-openai-responses",
}

var capabilities = func() gatewaytest.JSON {
	all := gatewaytest.JSON{}
	for model := range models {
		all[model] = gatewaytest.JSON{"thinking": "adaptive", "max_output_tokens": 64000, "reasoning_effort_levels": []string{"low", "medium", "high"}}
	}
	for _, model := range []string{"script-budget-anthropic", "script-budget-forgetful-anthropic"} {
		all[model] = gatewaytest.JSON{"thinking": "budget", "max_output_tokens": 64000}
	}
	return all
}()
