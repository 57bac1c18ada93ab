package llm

// Answer is one whole answer.
type Answer struct {
	ID, Model string
	Blocks    []Block // in order
	Stop      Stop
}

// StopReason is why an answer ended, in the words of Messages.
type StopReason string

const (
	StopEnd      StopReason = "end_turn"
	StopLength   StopReason = "max_tokens"
	StopContext  StopReason = "model_context_window_exceeded"
	StopSequence StopReason = "stop_sequence"
	StopTools    StopReason = "tool_use"
	StopRefusal  StopReason = "refusal"
	StopPause    StopReason = "pause_turn"
	StopCompact  StopReason = "compaction"
)

// Stop is how an answer ended.
type Stop struct {
	Reason      StopReason
	Sequence    string // the stop sequence that matched, "" if not told
	Explanation string // of a refusal
}

// ChunkKind is what a chunk tells.
type ChunkKind uint8

const (
	// ChunkStart comes once, before everything else: ID, Model.
	ChunkStart ChunkKind = iota
	// ChunkOpen begins a block: Block without its text or arguments.
	ChunkOpen
	// ChunkText is the next piece of the open block: Text. What it is follows from
	// the block's kind: text, thinking or arguments.
	ChunkText
	// ChunkClose ends the open block: Block.Signature and Block.Annotations.
	ChunkClose
	// ChunkStop comes once, after everything else: Stop.
	ChunkStop
)

// Chunk is the meaning of a piece of a streamed answer. At most one block is
// open at a time, whatever order the upstream tells its pieces in: readers sort
// that out, so that writers need not.
type Chunk struct {
	Kind      ChunkKind
	ID, Model string
	Block     Block
	Text      string
	Stop      Stop
}
