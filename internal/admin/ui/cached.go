package ui

import (
	"context"
	"sync"
	"time"
)

// cached keeps the last answer to a question that everybody asks, so that it costs the database
// the same whether one page is open or a hundred.
type cached[T any] struct {
	mu    sync.Mutex // guards the fields below; held while one asks for all
	value T
	until time.Time
}

// drop has the next one who asks get a new answer.
func (c *cached[T]) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = time.Time{}
}

// get returns the answer, asking for it when the one that is kept is older than ttl. The question
// is not dropped when the one who happened to ask it goes away.
func (c *cached[T]) get(ctx context.Context, ttl time.Duration, ask func(context.Context) (T, error)) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.until) {
		return c.value, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	value, err := ask(ctx)
	if err != nil {
		var zero T
		return zero, err
	}
	c.value, c.until = value, time.Now().Add(ttl)
	return value, nil
}
