package app_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// portalTime is how long the simulated portal takes to copy one file.
const portalTime = time.Millisecond

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}
