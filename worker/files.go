package worker

import (
	"context"
	"errors"

	"model-proxy/convert"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider"
)

// Bounds of the files fetched for one request.
const (
	maxFiles     = 20
	maxFileBytes = 2 * provider.MaxFile
)

var (
	errManyFiles  = errors.New("a request may name 20 files by their address")
	errLargeFiles = errors.New("the files that the request names are larger than 40 MB together")
)

// fetch gets the files a request names, once for all its attempts, within its
// deadline. What is wrong with them is the request's own fault.
func (j *job) fetch(needs *convert.NeedsFiles) (map[string]convert.File, error) {
	if len(needs.URLs) > maxFiles {
		return nil, unfetched(needs.Paths[maxFiles], errManyFiles)
	}
	if j.files == nil {
		j.files = map[string]convert.File{}
	}
	ctx, cancel := context.WithDeadline(j.run.Context(), j.began.Add(j.run.TimeLeft))
	defer cancel()
	total := 0
	for i, url := range needs.URLs {
		if _, ok := j.files[url]; !ok {
			data, mediaType, err := j.w.cfg.Upstream.FetchFile(ctx, url)
			if cause := context.Cause(j.run.Context()); cause != nil {
				return nil, cause
			}
			if err != nil {
				return nil, unfetched(needs.Paths[i], err)
			}
			j.files[url] = convert.File{Type: mediaType, Data: data}
		}
		if total += len(j.files[url].Data); total > maxFileBytes {
			return nil, unfetched(needs.Paths[i], errLargeFiles)
		}
	}
	return j.files, nil
}

// unfetched tells the client why, without a word about the network behind it.
func unfetched(path string, err error) *llm.Error {
	reason := err.Error()
	for _, known := range []error{provider.ErrFileAddress, provider.ErrFileAnswer, provider.ErrFileSize, provider.ErrFileType} {
		if errors.Is(err, known) {
			reason = known.Error()
		}
	}
	e := llm.NewError(llm.BadRequest, "a file named by its address cannot be had: "+reason)
	e.Param, e.Code = path, "unsupported_by_target"
	return e.Because(err)
}
