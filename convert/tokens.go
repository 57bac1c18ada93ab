package convert

import (
	"encoding/base64"
	"image"
	_ "image/gif"  // dimensions of images
	_ "image/jpeg" // likewise
	_ "image/png"  // likewise
	"strings"

	"model-proxy/internal/llm"
)

// Rules of thumb for what is no text, in tokens. Images follow Anthropic's rule
// of width × height / 750 after scaling to 1568 pixels.
const (
	turnTokens     = 4
	toolTokens     = 12
	toolsTokens    = 300 // the instructions a vendor adds when there are tools
	imageTokens    = 1600
	imageEdge      = 1568
	imageDivisor   = 750
	pdfTokens      = 1500 // a page
	pdfPageBytes   = 50 << 10
	marginPercent  = 10
	percent        = 100
	decodedPerBase = 4 // four characters of base64 are three bytes
)

// CountTokens estimates the prompt tokens of a Messages or Chat Completions
// request: system, tools, every block, a little for each turn, images by their
// size, and ten per cent on top. The provider's own count is better where it
// can be had.
func CountTokens(client llm.Protocol, body []byte) int64 {
	p, ok := protocols[client.Wire()]
	if !ok {
		return EstimateTokens(len(body))
	}
	var n notes
	r := p.parseRequest(body, &n)
	total := promptTokens(r)
	if len(r.Tools) > 0 {
		total += toolsTokens
	}
	return total
}

// promptTokens estimates a request in the shared form.
func promptTokens(r *llm.Request) int64 {
	var total int64
	for _, t := range r.Turns {
		total += turnTokens + blockTokens(t.Blocks)
	}
	for _, t := range r.Tools {
		total += toolTokens + EstimateTokens(len(t.Name)+len(t.Description)+len(t.Schema))
	}
	return (total*(percent+marginPercent) + percent - 1) / percent
}

func blockTokens(blocks []llm.Block) (total int64) {
	for _, b := range blocks {
		total += EstimateTokens(len(b.Text)+len(b.Name)+len(b.Args)+len(b.Raw)) + blockTokens(b.Content)
		if b.Media != nil {
			total += mediaTokens(b.Kind, b.Media)
		}
	}
	return total
}

func mediaTokens(kind llm.BlockKind, m *llm.Media) int64 {
	switch {
	case m.Text != "" || m.Parts != nil:
		return EstimateTokens(len(m.Text)) + blockTokens(m.Parts)
	case kind == llm.BlockImage:
		return imageCost(m.Data)
	case kind == llm.BlockDocument:
		return pdfTokens * int64(1+len(m.Data)/decodedPerBase*3/pdfPageBytes)
	}
	return EstimateTokens(len(m.Data))
}

func imageCost(data string) int64 {
	c, _, err := image.DecodeConfig(base64.NewDecoder(base64.StdEncoding, strings.NewReader(data)))
	if err != nil || c.Width <= 0 || c.Height <= 0 {
		return imageTokens
	}
	w, h := float64(c.Width), float64(c.Height)
	if edge := max(w, h); edge > imageEdge {
		w, h = w*imageEdge/edge, h*imageEdge/edge
	}
	return min(imageTokens, int64(w*h/imageDivisor)+1)
}
