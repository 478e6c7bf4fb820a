package app_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"docspace-router/internal/app"
	"docspace-router/internal/pgtest"
)

// portalTime is how long the simulated portal takes to copy one file.
const portalTime = time.Millisecond

// gatewayArgument makes the test binary run a gateway instead of tests, as a process of its
// own that can be killed.
const gatewayArgument = "run-gateway"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == gatewayArgument {
		os.Exit(runGateway(os.Args[2]))
	}
	flag.Parse()
	if *onPostgres {
		var err error
		if server, err = pgtest.Start(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(), goleak.Cleanup(func(code int) {
		if server != nil {
			if err := server.Stop(context.Background()); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
		os.Exit(code)
	}))
}

// process is what a gateway of its own process is told.
type process struct {
	Rules, Listen, AdminListen, Database string
	Pace                                 app.Pace
	Env                                  map[string]string
}

// runGateway runs a gateway until it is told to stop, and prints its addresses first.
func runGateway(argument string) int {
	var p process
	if err := json.Unmarshal([]byte(argument), &p); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	gateway, err := app.New(ctx, app.Options{
		Rules: p.Rules, Listen: p.Listen, AdminListen: p.AdminListen, Database: p.Database, Pace: p.Pace,
		LookupEnv: func(name string) (string, bool) { v, ok := p.Env[name]; return v, ok },
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintln(os.Stdout, gateway.Addr(), gateway.AdminAddr())
	if err := gateway.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
