//go:build linux

package main

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// errScriptOver is told when the engine has come to the end of its script.
var errScriptOver = errors.New("its script is over")

// start runs the engine's main function on a thread of its own. The channel
// tells how it ended.
func start(lib string, args []string) (<-chan error, error) {
	handle, err := purego.Dlopen(lib, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", lib, err)
	}
	var engineMain func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	var resultError func(unsafe.Pointer) string
	purego.RegisterLibFunc(&engineMain, handle, "chdb_query_cmdline")
	purego.RegisterLibFunc(&resultError, handle, "chdb_result_error")
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		var pinned runtime.Pinner
		defer pinned.Unpin()
		argv := make([]*byte, len(args)+1) // ends with a null pointer
		for i, a := range args {
			text := append([]byte(a), 0)
			pinned.Pin(&text[0])
			argv[i] = &text[0]
		}
		pinned.Pin(&argv[0])
		result := engineMain(int32(len(args)), unsafe.Pointer(&argv[0]))
		switch {
		case result == nil:
			ended <- errors.New("it gave no result")
		case resultError(result) != "":
			ended <- errors.New(resultError(result))
		default:
			ended <- errScriptOver
		}
	}()
	return ended, nil
}
