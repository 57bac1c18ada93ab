package convert

import "model-proxy/internal/llm"

// speakers settles what becomes of the names of those who speak, which only Chat
// Completions has a field for: they go before the text where the provider's file
// says so (name_prefix), else they are dropped.
func (c *conversion) speakers(r *llm.Request) {
	for i := range r.Turns {
		t := &r.Turns[i]
		switch {
		case t.Name == "":
		case !c.x.target.Quirks.NamePrefix:
			c.notes.dropped(t.Path + ".name")
		default:
			c.notes.emulated(t.Path + ".name")
			for j := range t.Blocks {
				if b := &t.Blocks[j]; b.Kind == llm.BlockText {
					b.Text = t.Name + ": " + b.Text
					break
				}
			}
		}
	}
}
