package convert

import (
	"encoding/base64"
	"net/http"
	"strings"

	"model-proxy/internal/llm"
)

// sniffBytes is how much of a file http.DetectContentType looks at.
const sniffBytes = 512

// sniff is the media type of base64 data: what its first bytes say, where they
// are an image or a PDF, else the label. Labels are often wrong, and Anthropic
// refuses an image whose label is.
func sniff(label, data string) string {
	head := data[:min(len(data), sniffBytes/3*4)]
	head = head[:len(head)/4*4]
	raw, err := base64.StdEncoding.DecodeString(head)
	if err != nil || len(raw) == 0 {
		return label
	}
	kind := http.DetectContentType(raw)
	if strings.HasPrefix(kind, "image/") || kind == "application/pdf" {
		return kind
	}
	return label
}

// imageTypes are those both vendors read.
var imageTypes = map[string]bool{"image/jpeg": true, "image/png": true, "image/gif": true, "image/webp": true}

// missingImage says why an image has neither data nor an address that the target
// can be given.
func missingImage(m *llm.Media) string {
	if m.FileID != "" {
		return "the target does not know files stored with another provider; send the image's data"
	}
	return "the image is neither a base64 data URL nor an http address"
}
