package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// settings are the flags.
type settings struct {
	rounds   int
	seed     uint64
	database string
	replicas int
	parallel int
	patience time.Duration
	binary   string
	keep     string
	keepAll  bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var s settings
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&s.rounds, "rounds", 10, "how many rounds are played")
	f.Uint64Var(&s.seed, "seed", 0, "the first round's seed, the next ones count on from it; 0 draws one")
	f.StringVar(&s.database, "database", "sqlite", "sqlite or postgres; postgres starts servers of its own")
	f.IntVar(&s.replicas, "replicas", 1, "gateways at once; several need postgres")
	f.IntVar(&s.parallel, "parallel", 2, "rounds at once")
	f.DurationVar(&s.patience, "patience", 90*time.Second, "how long the gateway may take to come to rest after the trouble")
	f.StringVar(&s.binary, "binary", "", "the gateway's `file`; empty: it is built")
	f.StringVar(&s.keep, "dir", "", "`folder` for the rounds' files; empty: a temporary one, which goes when all is well")
	f.BoolVar(&s.keepAll, "keep", false, "keep the files of rounds that went well too")
	if err := f.Parse(args); err != nil {
		return 2
	}
	switch {
	case s.rounds < 1 || s.parallel < 1 || s.replicas < 1 || f.NArg() > 0:
		fmt.Fprintln(stderr, "chaos: rounds, parallel and replicas count from 1, and there are no arguments")
		return 2
	case s.database != "sqlite" && s.database != "postgres":
		fmt.Fprintf(stderr, "chaos: unknown database %q, want sqlite or postgres\n", s.database)
		return 2
	case s.database == "sqlite" && s.replicas > 1:
		fmt.Fprintln(stderr, "chaos: several replicas share a PostgreSQL database, add DATABASE=postgres")
		return 2
	}
	if s.seed == 0 {
		s.seed = uint64(time.Now().UnixNano() / 1000 % 1_000_000_000)
	}
	t, err := s.play(ctx, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "chaos: %v\n", err)
		return 1
	}
	t.print(stdout)
	if t.failed() {
		return 1
	}
	return 0
}

// play plays all rounds, some at a time, and tells of each as it ends.
func (s *settings) play(ctx context.Context, stdout io.Writer) (t *table, err error) {
	if s.keep == "" {
		if s.keep, err = os.MkdirTemp("", "chaos-"); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(s.keep, 0o700); err != nil {
		return nil, err
	}
	defer func() {
		// Goes only when no round left anything behind.
		_ = os.Remove(s.keep)
	}()
	if s.binary == "" {
		s.binary = filepath.Join(s.keep, "docspace-router")
		defer func() { _ = os.Remove(s.binary) }()
		// Without the revision, which go refuses to read in a checkout of somebody else's.
		build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", s.binary, "docspace-router/cmd/docspace-router")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the gateway: %w\n%s", err, out)
		}
	}
	fmt.Fprintf(stdout, "%d rounds, seeds %d to %d, %s, %d gateways each, %d rounds at once\n",
		s.rounds, s.seed, s.seed+uint64(s.rounds)-1, s.database, s.replicas, s.parallel)

	t = &table{}
	if s.database == "postgres" {
		// A plan depends on how many gateways there are to kill and on whether there is a server.
		t.again = fmt.Sprintf(" DATABASE=postgres REPLICAS=%d", s.replicas)
	}
	seeds := make(chan uint64)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(seeds)
		for i := range s.rounds {
			select {
			case seeds <- s.seed + uint64(i):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range min(s.parallel, s.rounds) {
		group.Go(func() (err error) {
			o := roundOptions{binary: s.binary, replicas: s.replicas, patience: s.patience, database: sqliteIn}
			if s.database == "postgres" {
				stop, err := o.usePostgres(ctx)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, stop()) }()
			}
			for seed := range seeds {
				if err := s.one(ctx, o, seed, t, stdout); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return t, nil
}

// one plays a round and keeps its files if it failed.
func (s *settings) one(ctx context.Context, o roundOptions, seed uint64, t *table, stdout io.Writer) error {
	dir := filepath.Join(s.keep, fmt.Sprintf("seed-%d", seed))
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	r := runRound(ctx, o, seed, dir)
	t.add(r, stdout)
	if r.failed() || s.keepAll {
		return ctx.Err()
	}
	return errors.Join(os.RemoveAll(dir), ctx.Err())
}

func sqliteIn(_ context.Context, dir string) (string, error) {
	return "sqlite://" + filepath.Join(dir, "router.db"), nil
}
