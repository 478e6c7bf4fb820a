// Package pgtest runs a private PostgreSQL for tests and for the chaos run: its data in a
// temporary directory, on a free port of the loopback interface, gone when it is stopped.
//
// It needs PostgreSQL's server programs, which it looks for in the PATH and where Debian puts
// them, and never uses a server that runs already. What a client has committed survives Kill:
// the server writes its log at every commit as it always does, and leaves out only the wait
// for the disk, which matters when the machine fails and not when a process does.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNotInstalled says that PostgreSQL's server programs are not on this machine.
var ErrNotInstalled = errors.New("PostgreSQL's server programs (initdb, postgres) are not installed")

// account is the system user that runs the server when we are root, which PostgreSQL refuses
// to be, and the superuser inside it.
const account = "postgres"

// startWithin bounds a start, on a machine that does much else.
const startWithin = 60 * time.Second

// Server is a running PostgreSQL server. Its methods are safe for concurrent use.
type Server struct {
	programs string // the directory of the server's programs
	dir      string
	port     int
	log      *os.File

	mu        sync.Mutex // guards what follows; held while the server starts or stops
	running   *process
	stopped   bool
	databases int
}

// process is one life of the server.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
}

// Start makes a database cluster and starts a server on it. The error is ErrNotInstalled where
// there is no PostgreSQL. Stop ends the server and removes its files.
func Start(ctx context.Context) (s *Server, err error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, err
	}
	s = &Server{programs: programs, dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := ownedByAccount(dir); err != nil {
		return nil, err
	}
	if s.log, err = os.Create(filepath.Join(dir, "server.log")); err != nil {
		return nil, err
	}
	// Trust: whoever reaches the loopback interface of a machine that runs tests may have them.
	if err := s.program(ctx, "initdb", "--pgdata", s.data(), "--username", account, "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C", "--no-sync"); err != nil {
		return nil, err
	}
	// Between finding a free port and using it somebody else may take it.
	for range 5 {
		if s.port, err = freePort(ctx); err != nil {
			return nil, err
		}
		if err = s.launch(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	return s, err
}

// findPrograms returns the directory of PostgreSQL's server programs: the PATH's, or the newest
// version of those that Debian installs beside each other outside the PATH.
func findPrograms() (string, error) {
	if initdb, err := exec.LookPath("initdb"); err == nil && isProgram(filepath.Join(filepath.Dir(initdb), "postgres")) {
		return filepath.Dir(initdb), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	return newest(found)
}

// newest picks the directory of the highest version that has what is needed.
func newest(dirs []string) (string, error) {
	version := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		return n
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	for _, dir := range dirs {
		if isProgram(filepath.Join(dir, "initdb")) && isProgram(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", ErrNotInstalled
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command prepares one of the programs to run as a user that is not root, in the server's
// directory: they complain about one they may not read.
func (s *Server) command(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs, name), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, s.log, s.log
	// Nothing of the caller's environment, such as PGPORT, is to change what happens.
	cmd.Env = []string{"LC_ALL=C", "PATH=" + s.programs}
	return cmd, runAsAccount(cmd)
}

// program runs one of the programs to its end.
func (s *Server) program(ctx context.Context, name string, args ...string) error {
	cmd, err := s.command(ctx, name, args...)
	if err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, s.lastWords())
	}
	return nil
}

// lastWords is the end of the log, for errors.
func (s *Server) lastWords() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "server.log"))
	if err != nil {
		return ""
	}
	const enough = 600
	return strings.TrimSpace(string(text[max(0, len(text)-enough):]))
}

// launch starts the server and waits until it takes connections. s.mu is held, or s not shared
// yet.
func (s *Server) launch(ctx context.Context) error {
	// The server outlives this call: its end is up to signals.
	cmd, err := s.command(context.WithoutCancel(ctx), "postgres", "-D", s.data(), "-p", strconv.Itoa(s.port), "-k", s.dir,
		"-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_permissions=0700",
		"-c", "max_connections=200",
		"-c", "shared_buffers=32MB",
		// See the package's comment: these spare the disk, and no commit is reported early.
		"-c", "fsync=off", "-c", "full_page_writes=off")
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // how it ended is in its log
	}()
	s.running = p

	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.url(account))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-p.ended:
			s.running = nil
			return fmt.Errorf("postgres ended at once: %s", s.lastWords())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("postgres takes no connections within %s: %w", startWithin, err), s.end(syscall.SIGQUIT))
		}
	}
}

// end sends the server a signal and waits until it is gone. s.mu is held.
func (s *Server) end(signal syscall.Signal) error {
	p := s.running
	if p == nil {
		return nil
	}
	s.running = nil
	_ = p.cmd.Process.Signal(signal)
	patience := time.NewTimer(startWithin)
	defer patience.Stop()
	select {
	case <-p.ended:
		return nil
	case <-patience.C:
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("postgres did not end within %s", startWithin)
	}
}

func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", account, s.port, database)
}

// Database makes an empty database and returns its URL, which stays valid over restarts.
func (s *Server) Database(ctx context.Context) (url string, err error) {
	s.mu.Lock()
	s.databases++
	name := fmt.Sprintf("test_%d", s.databases)
	s.mu.Unlock()
	conn, err := pgx.Connect(ctx, s.url(account))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", fmt.Errorf("create database: %w", err)
	}
	return s.url(name), nil
}

// Restart stops the server in good order, cutting off its clients, and starts it again on the
// same port. After Kill it only starts it, which then recovers.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errors.New("the server has been stopped for good")
	}
	if err := s.end(syscall.SIGINT); err != nil {
		return err
	}
	return s.launch(ctx)
}

// Kill ends the server at once, as a crash would: nothing is written to its files any more.
// It stays down until Restart.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(syscall.SIGQUIT)
}

// Stop ends the server and removes its files. A second call does nothing.
func (s *Server) Stop(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	errs := []error{s.end(syscall.SIGINT)}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}
