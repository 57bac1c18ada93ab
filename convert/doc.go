// Package convert turns one protocol's bytes into llm values and back: the
// request a client sent into the one an upstream takes, and the upstream's
// answer, whole or event by event, into what the client expects. Where both
// speak one protocol the bytes pass through but for a few exact edits. It does
// no I/O, starts no goroutine and reads no clock.
//
// # The way of an exchange
//
//	              New                               Answer, or Stream.Event … End
//	client ── parseRequest ─► llm.Request ── buildRequest ─► upstream
//	client ◄─ buildAnswer ─── llm.Answer  ◄─ parseAnswer ─── upstream, whole
//	client ◄─ chunkWriter ◄─ mender ◄─ llm.Chunk ◄─ chunkReader ◄─ upstream, as events
//
// The functions of each protocol stand in one table (protocols.go): with N
// protocols there are N of each, not N × N. What the upstream's answer tells
// besides its content (tokens, ids, why it ended) is read on the way, whether it
// is converted or not.
//
// # Where things are
//
// What others call: convert.go (New, Exchange), stream.go (Stream), errors.go and
// failure.go (errors of upstreams), apierror.go (those that clients are told),
// warning.go, tokens.go (estimates), retryafter.go, repair.go (missing tool results).
//
// One protocol, by its prefix, chat_, messages_ or responses_:
//
//	_parse    a client's request is read; _content and _items: what it says
//	_build    an upstream's request is written; _turns, _input, _assistant, _blocks, _parts,
//	          _media: the conversation; _tools, _think, _format, _replay, _native: those
//	_read     an upstream's answer becomes chunks; _delta, _calls: pieces of it
//	_write    chunks become a client's events; _restream: the same protocol's whole answer does
//	_answer   a whole answer is written
//	_reasoning   what Responses alone does with reasoning
//
// What protocols share: conversion.go and stream_convert.go run it, mend.go undoes
// in answers what requests had to do by other means (emulate.go), openai.go is what
// OpenAI's two protocols have in common as targets. One matter each: ids.go, reasoning.go
// (seals and signatures), schema.go, documents.go, media.go, speakers.go, extra.go (fields
// with no counterpart), notes.go (what was lost), vendor_tools.go, namespace.go
// (groups of tools), count.go.
//
// More than one call, or more than the request: pause.go (answers that are
// continued), record.go (the upstream's own blocks), recall.go (thinking that the
// gateway keeps), fetch.go (files by their address), refused.go (a field to leave
// out and try again).
//
// Passing through: pass.go changes requests, watch.go reads events, repeat.go
// recognises those that differ from the last one in their text alone, foreign.go
// takes out other vendors' reasoning, pass_ids.go changes their ids, seen.go counts.
//
// Tools of the trade: build.go and template.go write JSON, read.go, edit.go and
// arena.go read and change it, blocks.go and assemble.go handle blocks.
package convert
