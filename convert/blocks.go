package convert

import (
	"slices"
	"strings"

	"model-proxy/internal/llm"
)

// What is asked of lists of blocks, whatever protocol they come from or go to.

func isPart(k llm.BlockKind) bool { return k == llm.BlockText || k == llm.BlockRefusal }

func isBlank(k llm.Block) bool {
	return isPart(k.Kind) && blank(k.Text)
}

// visible drops text of white space only, which Messages refuses.
func visible(blocks []llm.Block) []llm.Block {
	if !slices.ContainsFunc(blocks, isBlank) {
		return blocks
	}
	var keep []llm.Block
	for _, k := range blocks {
		if !isBlank(k) {
			keep = append(keep, k)
		}
	}
	return keep
}

func onlyText(blocks []llm.Block) bool {
	for _, k := range blocks {
		if k.Kind != llm.BlockText {
			return false
		}
	}
	return true
}

// joinTexts is the texts of blocks with sep between them.
func joinTexts(blocks []llm.Block, sep string) string {
	if len(blocks) == 1 {
		return blocks[0].Text
	}
	var texts []string
	for _, k := range blocks {
		texts = append(texts, k.Text)
	}
	return strings.Join(texts, sep)
}

func onlyThoughts(blocks []llm.Block) bool {
	for _, b := range blocks {
		if b.Kind != llm.BlockThinking && b.Kind != llm.BlockRedacted {
			return false
		}
	}
	return true
}

func hasResults(blocks []llm.Block) bool {
	for _, k := range blocks {
		if k.Kind == llm.BlockResult {
			return true
		}
	}
	return false
}

func allResults(blocks []llm.Block) bool {
	for _, b := range blocks {
		if b.Kind != llm.BlockResult {
			return false
		}
	}
	return true
}

func countCalls(blocks []llm.Block) (n int) {
	for _, k := range blocks {
		if k.Kind == llm.BlockCall {
			n++
		}
	}
	return n
}

func callIDs(blocks []llm.Block) (ids []string) {
	for _, k := range blocks {
		if k.Kind == llm.BlockCall {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

// calledTools are the names of the tools called in the history, each once.
func calledTools(turns []llm.Turn) []string {
	var names []string
	for _, t := range turns {
		for _, b := range t.Blocks {
			if b.Kind == llm.BlockCall && !slices.Contains(names, b.Name) {
				names = append(names, b.Name)
			}
		}
	}
	return names
}

// latestCall is the id of the last call of a tool, for results that name their
// tool only: those of legacy functions, and of Responses if need be.
func latestCall(turns []llm.Turn, name string) string {
	for i := len(turns) - 1; i >= 0; i-- {
		for _, b := range turns[i].Blocks {
			if b.Kind == llm.BlockCall && b.Name == name {
				return b.ID
			}
		}
	}
	return ""
}

// unnamedCall is the id that was made up for the first call of the last
// assistant's turn that came without one and has no result yet, for results
// without one; "" if there is none. Gemini gives calls no ids.
func unnamedCall(turns []llm.Turn) string {
	last := len(turns) - 1
	for last >= 0 && turns[last].Role != llm.RoleAssistant {
		last--
	}
	if last < 0 {
		return ""
	}
	answered := map[string]bool{}
	for _, t := range turns[last+1:] {
		for _, b := range t.Blocks {
			answered[b.ID] = b.Kind == llm.BlockResult
		}
	}
	n := 0
	for _, b := range turns[last].Blocks {
		if b.Kind != llm.BlockCall {
			continue
		}
		if b.ID == emptyID(last, n) && !answered[b.ID] {
			return b.ID
		}
		n++
	}
	return ""
}
