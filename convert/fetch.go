package convert

import (
	"encoding/base64"
	"fmt"
	"strings"

	"model-proxy/internal/llm"
)

// File is one that a request names by its address.
type File struct {
	Type string // media type, such as image/png
	Data []byte
}

// NeedsFiles is the error of New where the target takes no addresses and its
// provider's file says that they are to be fetched (fetch_files): with what
// stands at URLs in Input.Files the request can be made.
type NeedsFiles struct {
	URLs  []string
	Paths []string // where in the request they stand
}

func (e *NeedsFiles) Error() string { return fmt.Sprintf("%d files are to be fetched", len(e.URLs)) }

// fetched puts files that were fetched in the place of their addresses. The
// error is a *NeedsFiles.
func (c *conversion) fetched(r *llm.Request) error {
	if !c.x.target.Quirks.FetchFiles {
		return nil
	}
	var needs NeedsFiles
	for i := range r.Turns {
		c.fetchedIn(r.Turns[i].Blocks, &needs)
	}
	if needs.URLs != nil {
		return &needs
	}
	return nil
}

func (c *conversion) fetchedIn(blocks []llm.Block, needs *NeedsFiles) {
	for i := range blocks {
		k := &blocks[i]
		c.fetchedIn(k.Content, needs)
		if k.Media == nil {
			continue
		}
		c.fetchedIn(k.Media.Parts, needs)
		if !c.unreachable(k) {
			continue
		}
		f, ok := c.x.in.Files[k.Media.URL]
		if !ok {
			needs.URLs, needs.Paths = append(needs.URLs, k.Media.URL), append(needs.Paths, k.Path)
			continue
		}
		m := *k.Media
		m.URL, m.Type, m.Data = "", f.Type, base64.StdEncoding.EncodeToString(f.Data)
		k.Media = &m
		if f.Type == "application/pdf" {
			k.Kind = llm.BlockDocument
		}
		c.notes.emulated(k.Path)
	}
}

// unreachable reports whether a block names a file by an address that the target
// takes none of.
func (c *conversion) unreachable(k *llm.Block) bool {
	if !strings.HasPrefix(k.Media.URL, "https://") && !strings.HasPrefix(k.Media.URL, "http://") {
		return false
	}
	takes := c.x.target.Capabilities.SupportsImageURL
	if k.Kind == llm.BlockDocument && c.x.target.Protocol.Wire() == llm.OpenAI {
		return true // it has no word for the address of a document
	}
	return takes != nil && !*takes
}
