package app

import (
	"context"
	"time"
)

// retain deletes what is older than the retention time, in steps small enough not to hold up
// deliveries.
func (a *App) retain(ctx context.Context) error {
	const stepSize = 500
	ticker := time.NewTicker(10 * time.Minute)
	defer ticker.Stop()
	for {
		before := time.Now().Add(-a.o.Retention)
		for _, prune := range []func(context.Context, time.Time, int) (int, error){a.store.Prune, a.store.PruneOperations, a.store.PruneFolders} {
			for n := stepSize; n == stepSize && ctx.Err() == nil; {
				var err error
				if n, err = prune(ctx, before, stepSize); err != nil && ctx.Err() == nil {
					a.log.Warn("old rows not deleted", "err", err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
