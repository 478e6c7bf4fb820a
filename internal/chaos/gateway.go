package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// startWithin and stopWithin bound what a process may take on a busy machine.
const (
	startWithin = 30 * time.Second
	stopWithin  = 40 * time.Second
)

// replica is one gateway process after the other, on the same database.
type replica struct {
	name     string
	binary   string
	args     []string
	dir      string // for its logs
	balancer *balancer

	reviving sync.Mutex // held while it is started, so that it is started once
	started  int        // guarded by reviving

	mu      sync.Mutex // guards running
	running *process
}

// process is one life of a replica.
type process struct {
	cmd           *exec.Cmd
	public, admin string
	ended         chan struct{} // closed when the process is gone and its log complete
	err           error         // how it ended; read after ended
}

// start runs the gateway and waits until it serves. A gateway that cannot start, because its
// database is away, is started again, as whoever runs it in earnest would.
func (r *replica) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		p, err := r.launch(ctx)
		if err == nil {
			r.mu.Lock()
			r.running = p
			r.mu.Unlock()
			r.balancer.add(r.name, p.public)
			return nil
		}
		if pause(ctx, 300*time.Millisecond) != nil {
			return fmt.Errorf("start %s: %w", r.name, err)
		}
	}
}

func (r *replica) launch(ctx context.Context) (*process, error) {
	r.started++
	log, err := os.Create(filepath.Join(r.dir, fmt.Sprintf("%s-%02d.log", r.name, r.started)))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(r.binary, r.args...) //nolint:noctx // its life is ended by signals
	cmd.Env = []string{}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	serving := make(chan [2]string, 1)
	go func() {
		defer close(p.ended)
		follow(stderr, log, serving)
		p.err = errors.Join(cmd.Wait(), log.Close())
	}()
	select {
	case at := <-serving:
		p.public, p.admin = at[0], at[1]
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("it ended at once: %w", p.err)
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		<-p.ended
		return nil, ctx.Err()
	}
}

// follow copies the log to its file and tells the addresses that the gateway logs once it serves.
func follow(from io.Reader, to io.Writer, serving chan<- [2]string) {
	lines := bufio.NewReaderSize(from, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		_, _ = to.Write(line)
		var l struct {
			Msg    string `json:"msg"`
			Listen string `json:"listen"`
			Admin  string `json:"admin_listen"`
		}
		if json.Unmarshal(line, &l) == nil && l.Msg == "gateway started" {
			serving <- [2]string{l.Listen, l.Admin}
		}
		if err != nil {
			return
		}
	}
}

// kill ends the process as a crash does. It reports whether there was one to kill.
func (r *replica) kill() bool {
	p := r.take()
	if p == nil {
		return false
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	return true
}

// take makes the replica's process the caller's, to end it.
func (r *replica) take() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.running
	r.running = nil
	if p != nil {
		r.balancer.remove(r.name)
	}
	return p
}

// stop asks the process to end and reports how it did.
func (r *replica) stop(ctx context.Context) error {
	p := r.take()
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	select {
	case <-p.ended:
		if p.err != nil {
			return fmt.Errorf("%s after SIGTERM: %w", r.name, p.err)
		}
		return nil
	case <-ctx.Done():
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s did not stop within %s of SIGTERM", r.name, stopWithin)
	}
}

// life answers the running process, or nil. One that ended by itself is told as an error.
func (r *replica) life() (*process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == nil {
		return nil, nil
	}
	select {
	case <-r.running.ended:
		return nil, fmt.Errorf("%s ended by itself: %w", r.name, errors.Join(errors.New("nobody asked it to"), r.running.err))
	default:
		return r.running, nil
	}
}

// pause waits, or fails when ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
