// Package guard keeps a panic from ending the process. The servers and the job queue see to those in
// the goroutines that they start; this is for the others. It hides nothing: a panic becomes an error
// that says where it was. It prints no stack, since the panic's own words and place are enough to
// find the mistake.
package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"runtime"
	"strings"
	"time"
)

// Panic is a panic that became an error.
type Panic struct {
	Value any
	Where string // the function, file and line; empty when that is not known
}

// Error implements error.
func (p *Panic) Error() string {
	if p.Where == "" {
		return fmt.Sprintf("panic: %v", p.Value)
	}
	return fmt.Sprintf("panic: %v, in %s", p.Value, p.Where)
}

// Call calls f and makes an error of its panic.
func Call(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Panic{Value: v, Where: where()}
		}
	}()
	return f()
}

// where is the place of the panic that is being recovered from: the first one behind the runtime's
// own.
func where() string {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)])
	for panicked := false; ; {
		f, more := frames.Next()
		own := strings.HasPrefix(f.Function, "runtime.")
		if panicked && !own {
			return fmt.Sprintf("%s (%s:%d)", f.Function, path.Base(f.File), f.Line)
		}
		panicked = panicked || f.Function == "runtime.gopanic"
		if !more {
			return ""
		}
	}
}

// again is how long a part rests before it is begun again.
const again = time.Second

// Keep runs a part of the gateway that has no end of its own, again after each panic, until it returns
// or ctx ends.
func Keep(ctx context.Context, log *slog.Logger, part string, run func() error) error {
	for {
		err := Call(run)
		var p *Panic
		if !errors.As(err, &p) {
			return err
		}
		log.Error("part panicked and is begun again", "part", part, "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again):
		}
	}
}
