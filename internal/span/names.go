package span

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"model-proxy/internal/llm"
)

// Attributes of the GenAI conventions, as they were at v1.41 of OpenTelemetry's
// semantic conventions, the last release that held them whole. They are still in
// development and later drafts rename some: this table is the only place to
// follow them.
const (
	operationName = attribute.Key("gen_ai.operation.name")
	providerName  = attribute.Key("gen_ai.provider.name")

	requestModel            = attribute.Key("gen_ai.request.model")
	requestStream           = attribute.Key("gen_ai.request.stream")
	requestChoiceCount      = attribute.Key("gen_ai.request.choice.count")
	requestSeed             = attribute.Key("gen_ai.request.seed")
	requestMaxTokens        = attribute.Key("gen_ai.request.max_tokens")
	requestTemperature      = attribute.Key("gen_ai.request.temperature")
	requestTopP             = attribute.Key("gen_ai.request.top_p")
	requestTopK             = attribute.Key("gen_ai.request.top_k")
	requestFrequencyPenalty = attribute.Key("gen_ai.request.frequency_penalty")
	requestPresencePenalty  = attribute.Key("gen_ai.request.presence_penalty")
	embeddingsDimension     = attribute.Key("gen_ai.embeddings.dimension.count")

	responseModel       = attribute.Key("gen_ai.response.model")
	responseID          = attribute.Key("gen_ai.response.id")
	responseFinish      = attribute.Key("gen_ai.response.finish_reasons")
	responseFirstChunk  = attribute.Key("gen_ai.response.time_to_first_chunk") // seconds
	usageInput          = attribute.Key("gen_ai.usage.input_tokens")           // includes cached ones
	usageCacheRead      = attribute.Key("gen_ai.usage.cache_read.input_tokens")
	usageCacheCreation  = attribute.Key("gen_ai.usage.cache_creation.input_tokens")
	usageOutput         = attribute.Key("gen_ai.usage.output_tokens") // includes reasoning
	usageReasoning      = attribute.Key("gen_ai.usage.reasoning.output_tokens")
	openaiAPI           = attribute.Key("openai.api.type")
	openaiAPIChat       = "chat_completions"
	openaiAPIResponses  = "responses"
	operationChat       = "chat"
	operationEmbeddings = "embeddings"
	operationCount      = "count_tokens" // no convention knows it
)

// Attributes of the general conventions.
const (
	errorType     = attribute.Key("error.type")
	serverAddress = attribute.Key("server.address")
	serverPort    = attribute.Key("server.port")

	httpMethod   = attribute.Key("http.request.method")
	httpRoute    = attribute.Key("http.route")
	httpStatus   = attribute.Key("http.response.status_code")
	httpBodySize = attribute.Key("http.request.body.size")
	urlPath      = attribute.Key("url.path")
	urlScheme    = attribute.Key("url.scheme")

	messagingSystem        = attribute.Key("messaging.system")
	messagingOperation     = attribute.Key("messaging.operation.name")
	messagingOperationType = attribute.Key("messaging.operation.type")
	messagingDestination   = attribute.Key("messaging.destination.name")
	messagingMessageID     = attribute.Key("messaging.message.id")
	messagingBodySize      = attribute.Key("messaging.message.body.size")
)

// Attributes of our own: no convention knows what only a gateway has.
const (
	ownRequestID     = attribute.Key("model_proxy.request_id")
	ownJobID         = attribute.Key("model_proxy.job_id")
	ownClient        = attribute.Key("model_proxy.client")
	ownModel         = attribute.Key("model_proxy.model")        // as asked
	ownServedModel   = attribute.Key("model_proxy.served_model") // the logical model that answered
	ownProvider      = attribute.Key("model_proxy.provider")     // as configured
	ownRoute         = attribute.Key("model_proxy.route")
	ownKey           = attribute.Key("model_proxy.key") // fingerprint
	ownLane          = attribute.Key("model_proxy.lane")
	ownOutcome       = attribute.Key("model_proxy.outcome")
	ownReason        = attribute.Key("model_proxy.rejected.reason")
	ownAttempt       = attribute.Key("model_proxy.attempt")
	ownAttempts      = attribute.Key("model_proxy.attempts")
	ownDelivery      = attribute.Key("model_proxy.delivery")
	ownDeliveries    = attribute.Key("model_proxy.deliveries")
	ownRetryCause    = attribute.Key("model_proxy.retry.cause") // why there was an attempt before this one
	ownAction        = attribute.Key("model_proxy.action")
	ownTimer         = attribute.Key("model_proxy.timer")
	ownQueueMS       = attribute.Key("model_proxy.queue_ms")
	ownFirstMS       = attribute.Key("model_proxy.ttft_ms")
	ownLeftMS        = attribute.Key("model_proxy.deadline_left_ms")
	ownUsageSource   = attribute.Key("model_proxy.usage_source")
	ownCost          = attribute.Key("model_proxy.cost_nano_usd")
	ownPriceVersion  = attribute.Key("model_proxy.price_version")
	ownRevision      = attribute.Key("model_proxy.config_revision")
	ownWorker        = attribute.Key("model_proxy.worker")
	ownIngress       = attribute.Key("model_proxy.ingress")
	ownAttemptStatus = attribute.Key("model_proxy.upstream_status")
)

// Metrics of the GenAI conventions. A server is what the gateway is to its
// clients, a client what it is to the providers.
const (
	ServerRequestDuration   = "gen_ai.server.request.duration"
	ServerTimeToFirstToken  = "gen_ai.server.time_to_first_token"
	ServerTimePerToken      = "gen_ai.server.time_per_output_token"
	ClientOperationDuration = "gen_ai.client.operation.duration"
	ClientTimeToFirstChunk  = "gen_ai.client.operation.time_to_first_chunk"
	ClientTokenUsage        = "gen_ai.client.token.usage"
)

// Labels of those metrics.
const (
	LabelOperation = string(operationName)
	LabelProvider  = string(providerName)
	LabelModel     = string(requestModel)
	LabelTokenType = "gen_ai.token.type" // input | output
	LabelError     = string(errorType)
)

// Prometheus is a name as Prometheus spells it; unit is "" or the suffix that
// the metric's unit asks for.
func Prometheus(name, unit string) string {
	name = strings.NewReplacer(".", "_").Replace(name)
	if unit != "" {
		name += "_" + unit
	}
	return name
}

// Operation is gen_ai.operation.name of an endpoint.
func Operation(e llm.Endpoint) string {
	switch e {
	case llm.Embeddings:
		return operationEmbeddings
	case llm.CountTokens:
		return operationCount
	}
	return operationChat
}

// wellKnown are the conventions' names of vendors that we call otherwise.
var wellKnown = map[string]string{
	"azure": "azure.ai.openai", "gemini": "gcp.gemini", "google": "gcp.gemini", "vertex": "gcp.vertex_ai", "bedrock": "aws.bedrock",
	"mistral": "mistral_ai", "xai": "x_ai", "moonshot": "moonshot_ai", "watsonx": "ibm.watsonx.ai",
}

// Provider is gen_ai.provider.name of a vendor whose API is spoken by p.
func Provider(vendor string, p llm.Protocol) string {
	switch p {
	case llm.Azure:
		return wellKnown["azure"]
	case llm.Gemini:
		return wellKnown["gemini"]
	}
	if name, ok := wellKnown[vendor]; ok {
		return name
	}
	return vendor
}
