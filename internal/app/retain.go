package app

import (
	"context"
	"time"

	"docspace-router/internal/store"
)

// Old rows are deleted in steps. On SQLite no delivery is stored during one, so a step is made smaller
// when it takes longer than it should, as it does on a slow disk, and is followed by a pause in which
// what has come meanwhile is stored.
const (
	retainEvery = 10 * time.Minute
	stepTime    = 40 * time.Millisecond
	stepPause   = 3 // times what the step took
	longestRest = 200 * time.Millisecond
	smallest    = 200 // rows that a step looks at
	largest     = 500
)

// retain deletes what is older than the retention time.
func (a *App) retain(ctx context.Context) error {
	ticker := time.NewTicker(retainEvery)
	defer ticker.Stop()
	for {
		a.prune(ctx, time.Now().Add(-a.o.Retention))
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// prune deletes what is older than a time.
func (a *App) prune(ctx context.Context, before time.Time) {
	var place store.Place
	a.inSteps(ctx, func(limit int) (more bool, err error) {
		_, place, err = a.store.Prune(ctx, before, place, limit)
		return place != store.Place{}, err
	})
	for _, prune := range []func(context.Context, time.Time, int) (int, error){a.store.PruneOperations, a.store.PruneFolders} {
		a.inSteps(ctx, func(limit int) (more bool, err error) {
			n, err := prune(ctx, before, limit)
			return n == limit, err
		})
	}
}

// inSteps calls step until there is no more to do. After an error it leaves the rest to the next round.
func (a *App) inSteps(ctx context.Context, step func(limit int) (more bool, err error)) {
	for limit := smallest; ; {
		began := time.Now()
		more, err := step(limit)
		if err != nil && ctx.Err() == nil {
			a.log.Warn("old rows not deleted", "err", err)
		}
		if err != nil || !more {
			return
		}
		took := time.Since(began)
		switch {
		case took > stepTime:
			limit = max(limit/2, smallest)
		case took < stepTime/2:
			limit = min(limit*2, largest)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(stepPause*took, longestRest)):
		}
	}
}
