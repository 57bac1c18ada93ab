package ingress

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/julienschmidt/httprouter"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// openAIModel is one entry of OpenAI's list of models (openai-go, model.go).
type openAIModel struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// anthropicModel is one entry of Anthropic's (anthropic-sdk-go, model.go).
type anthropicModel struct {
	Type        string `json:"type"`
	ID          string `json:"id"`
	DisplayName string `json:"display_name"`
	CreatedAt   string `json:"created_at"`
}

// listProtocol is the format of lists the caller expects: Anthropic's clients
// always send their version.
func listProtocol(r *http.Request) llm.Protocol {
	if r.Header.Get("Anthropic-Version") != "" {
		return llm.Anthropic
	}
	return llm.OpenAI
}

func (s *Server) listModels(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
	p := listProtocol(r)
	setRequestID(w, r, p)
	snap := s.cfg.Snapshot()
	client, no := s.authenticate(r, snap)
	if no != nil {
		s.refuse(w, p, no)
		return
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(snap.Models)), func(n string) bool { return !allowed(client, n) })
	if p == llm.Anthropic {
		writeJSON(w, http.StatusOK, anthropicList(names, r))
		return
	}
	list := struct {
		Object string        `json:"object"`
		Data   []openAIModel `json:"data"`
	}{"list", make([]openAIModel, 0, len(names))}
	for _, n := range names {
		list.Data = append(list.Data, asOpenAI(n))
	}
	writeJSON(w, http.StatusOK, list)
}

func (s *Server) showModel(w http.ResponseWriter, r *http.Request, ps httprouter.Params) {
	id := strings.TrimPrefix(ps.ByName("id"), "/") // a logical name may hold slashes
	if id == "" {                                  // /v1/models/
		s.listModels(w, r, ps)
		return
	}
	p := listProtocol(r)
	setRequestID(w, r, p)
	snap := s.cfg.Snapshot()
	client, no := s.authenticate(r, snap)
	if no != nil {
		s.refuse(w, p, no)
		return
	}
	if snap.Models[id] == nil || !allowed(client, id) {
		e := reject(rejectModel, llm.NotFound, "the model "+strconv.Quote(clip(id, 100))+" does not exist or is not open to this client")
		e.Param, e.Code = "model", "model_not_found"
		s.refuse(w, p, e)
		return
	}
	if p == llm.Anthropic {
		writeJSON(w, http.StatusOK, asAnthropic(id))
		return
	}
	writeJSON(w, http.StatusOK, asOpenAI(id))
}

// created stands where both formats want a date: a logical model has none.
const (
	created   = 1767225600
	createdAt = "2026-01-01T00:00:00Z"
)

func asOpenAI(name string) openAIModel { return openAIModel{name, "model", created, "model-proxy"} }

func asAnthropic(name string) anthropicModel { return anthropicModel{"model", name, name, createdAt} }

// anthropicPage is Anthropic's paged list.
type anthropicPage struct {
	Data    []anthropicModel `json:"data"`
	HasMore bool             `json:"has_more"`
	FirstID *string          `json:"first_id"`
	LastID  *string          `json:"last_id"`
}

// anthropicList pages by after_id, before_id and limit.
func anthropicList(names []string, r *http.Request) anthropicPage {
	query := r.URL.Query()
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit < 1 || limit > 1000 {
		limit = 20
	}
	if after := query.Get("after_id"); after != "" {
		i, found := slices.BinarySearch(names, after)
		if found {
			i++
		}
		names = names[i:]
	}
	page := anthropicPage{Data: []anthropicModel{}}
	if before := query.Get("before_id"); before != "" {
		i, _ := slices.BinarySearch(names, before)
		names = names[:i]
		page.HasMore = len(names) > limit
		names = names[max(0, len(names)-limit):]
	}
	page.HasMore = page.HasMore || len(names) > limit
	names = names[:min(limit, len(names))]
	for _, n := range names {
		page.Data = append(page.Data, asAnthropic(n))
	}
	if len(names) > 0 {
		page.FirstID, page.LastID = &names[0], &names[len(names)-1]
	}
	return page
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

// degraded names the models without a usable route.
func degraded(snap *config.Snapshot) map[string]string {
	out := map[string]string{}
	for name, m := range snap.Models {
		if m.Unusable != "" {
			out[name] = m.Unusable
		}
	}
	return out
}
