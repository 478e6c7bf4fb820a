package dispatch

import (
	"context"
	"database/sql"
	"testing"

	"github.com/riverqueue/river"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// completeNothing stands in where a test drives lanes without the job queue.
func completeNothing(context.Context, *sql.Tx, *river.Job[JobArgs]) error { return nil }
