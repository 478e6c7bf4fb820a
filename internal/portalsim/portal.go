package portalsim

import (
	"context"
	cryptorand "crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"
)

// Options configure a Portal. The zero value is a portal with DocSpace's own defaults.
type Options struct {
	// Generation of the webhook deliveries: 3 (default) or 4, the next server generation
	// with other payloads, two more headers and retries kept in the database.
	Generation int
	// Limits of the API. A zero field means DocSpace's default, a negative one unlimited.
	Limits Limits
	// Timings of deliveries and operations. A zero field means DocSpace's own.
	Timings Timings
	// HTTPClient delivers webhooks. Its redirect policy is replaced: DocSpace follows none.
	HTTPClient *http.Client
	// AllowPrivateTargets permits webhook URLs on private and loopback addresses, as a
	// self-hosted portal does when it overrides its blacklist. Default false: they are
	// refused when registered, and deleted when found while sending.
	AllowPrivateTargets bool
	// Resolve finds the addresses of a webhook's host. By default nobody is asked: literal
	// addresses stand for themselves, localhost for the loopback address, names below
	// .invalid do not exist and every other name has one public address.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Logger gets what happens at debug level. Default: nothing is logged.
	Logger *slog.Logger
	// Seed makes ids, keys and jitter repeatable. Zero: they differ from portal to portal,
	// so that one portal's key never opens another by accident.
	Seed uint64
	// UTCOffset is the portal's time zone; API answers carry local time. Default UTC.
	UTCOffset time.Duration
	// ClockSkew is how far the portal's clock is ahead; negative: behind. It shows in dates of
	// entries and deliveries and in the Date header of answers.
	ClockSkew time.Duration
	// BaseURL is used for links in answers and bodies. Default https://portal.example.com;
	// Start replaces it by the address it listens on.
	BaseURL string
	// TenantID of the portal. Default 1.
	TenantID int
	// MaxFileSize above which a copy fails, in bytes. Zero: no limit.
	MaxFileSize int64
	// UploadFilter lists the only extensions (".pdf") that may be stored. Empty: all.
	UploadFilter []string
	// Passwords is the portal's password policy; webhook secrets must obey it too.
	Passwords PasswordPolicy
	// AdminWebhooksOnly locks everybody but admins out of webhook administration.
	AdminWebhooksOnly bool
	// FirstFileID and FirstFolderID are the first numbers given to files and folders. By
	// default both start at 1, so that their ids overlap as they do on a real portal.
	FirstFileID, FirstFolderID int
}

// Timings of the background work, all with DocSpace's values as defaults. A negative
// duration means none at all.
type Timings struct {
	QueuePause     time.Duration   // rest of the delivery worker when its queue is empty: 5 s
	RetryWaits     []time.Duration // before the retries of a delivery: 1, 2, 4, 8, 16 s; empty but not nil: no retries
	AttemptTimeout time.Duration   // of one delivery: 100 s, 30 s in generation 4
	ProbeTimeout   time.Duration   // of the HEAD request that checks a webhook's URL: 10 s
	TrustedPeriod  time.Duration   // without a success, after which a failure disables a webhook: 3 days
	ItemDuration   time.Duration   // an operation takes for one entry: default none
	OperationTTL   time.Duration   // after its last progress an operation is dropped: 60 s
	CleanInterval  time.Duration   // between two looks for such operations: 10 s
	Workers        int             // operations run at once: 10
}

// PasswordPolicy says what a password, and a webhook's secret, must contain.
type PasswordPolicy struct {
	MinLength             int // default 8
	Upper, Digit, Special bool
}

// Portal is one simulated portal. It is an http.Handler and safe for concurrent use.
type Portal struct {
	opts   Options
	log    *slog.Logger
	zone   *time.Location
	router *mux.Router

	ctx  context.Context //nolint:containedctx // the portal's own life, from New to Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	verifying, trusting *http.Client // deliveries to ssl=true and ssl=false webhooks

	skew atomic.Int64  // how far the portal's clock is ahead
	wake chan struct{} // tells the delivery worker that its queue has work

	mu       sync.Mutex // guards everything below
	rng      *rand.ChaCha8
	baseURL  string
	server   *http.Server
	listener net.Listener
	closed   bool
	state    State

	folders             map[ID]*folder
	files               map[ID]*file
	shelves             map[ID]*shelf
	lastFolder, maxFile int
	rooms, archive      ID
	myDocuments, trash  map[UserID]ID
	people              map[UserID]*User
	keys                map[string]*apiKey
	hooks               map[int]*hook
	lastHook            int
	rows                []*row
	queue               []*row
	undelivered         int
	delivered           chan struct{} // closed and replaced when undelivered falls to 0
	operations          map[string]*operation
	operationLog        []*operation
	waiting             []*operation // for a worker
	running             int          // workers at work
	faults              []*fault
	limiter             *limiter
	calls               Calls
}

// State of the portal as a whole.
type State int

const (
	// Active portals work.
	Active State = iota
	// Unpaid portals answer every API call but GET settings with 402 and no body.
	Unpaid
	// Suspended portals answer every API call but GET settings with 404 and no body.
	Suspended
	// Restoring portals answer every API call with 403 and no body.
	Restoring
)

// New makes a portal with its sections (Rooms, Archive) and starts its background work.
func New(opts Options) *Portal {
	fillDefaults(&opts)
	ctx, stop := context.WithCancel(context.Background())
	p := &Portal{
		opts:        opts,
		log:         opts.Logger,
		zone:        time.FixedZone("portal", int(opts.UTCOffset/time.Second)),
		ctx:         ctx,
		stop:        stop,
		wake:        make(chan struct{}, 1),
		rng:         newRandom(opts.Seed),
		baseURL:     opts.BaseURL,
		folders:     map[ID]*folder{},
		files:       map[ID]*file{},
		shelves:     map[ID]*shelf{},
		lastFolder:  opts.FirstFolderID - 1,
		maxFile:     opts.FirstFileID - 1,
		myDocuments: map[UserID]ID{},
		trash:       map[UserID]ID{},
		people:      map[UserID]*User{},
		keys:        map[string]*apiKey{},
		hooks:       map[int]*hook{},
		delivered:   make(chan struct{}),
		operations:  map[string]*operation{},
		limiter:     newLimiter(opts.Limits),
		calls:       newCalls(),
	}
	p.skew.Store(int64(opts.ClockSkew))
	p.verifying, p.trusting = deliveryClients(opts.HTTPClient)
	p.rooms = p.addSection("Rooms", typeRooms, SystemUser)
	p.archive = p.addSection("Archive", typeArchive, SystemUser)
	p.router = p.routes()

	p.wg.Go(p.deliverQueue)
	p.wg.Go(p.cleanOperations)
	return p
}

func fillDefaults(o *Options) {
	if o.Generation == 0 {
		o.Generation = 3
	}
	if o.Generation != 3 && o.Generation != 4 {
		panic("portalsim: Options.Generation must be 3 or 4")
	}
	t := &o.Timings
	attempt := 100 * time.Second
	if o.Generation == 4 {
		attempt = 30 * time.Second
	}
	orDuration(&t.QueuePause, 5*time.Second)
	orDuration(&t.AttemptTimeout, attempt)
	orDuration(&t.ProbeTimeout, 10*time.Second)
	orDuration(&t.TrustedPeriod, 72*time.Hour)
	orDuration(&t.OperationTTL, time.Minute)
	orDuration(&t.CleanInterval, 10*time.Second)
	if t.RetryWaits == nil {
		t.RetryWaits = []time.Duration{
			time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second,
		}
	}
	if t.Workers <= 0 {
		t.Workers = 10
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.BaseURL == "" {
		o.BaseURL = "https://portal.example.com"
	}
	if o.Resolve == nil {
		o.Resolve = resolveOffline
	}
	if o.Passwords.MinLength == 0 {
		o.Passwords.MinLength = 8
	}
	for _, n := range []*int{&o.TenantID, &o.FirstFileID, &o.FirstFolderID} {
		if *n == 0 {
			*n = 1
		}
	}
}

func orDuration(d *time.Duration, standard time.Duration) {
	if *d == 0 {
		*d = standard
	}
}

func newRandom(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	if seed != 0 {
		binary.LittleEndian.PutUint64(key[:], seed)
	} else if _, err := io.ReadFull(cryptorand.Reader, key[:]); err != nil {
		panic("portalsim: no randomness: " + err.Error())
	}
	return rand.NewChaCha8(key)
}

// deliveryClients answers the clients for webhooks with and without certificate checks.
// DocSpace follows no redirect, and with ssl=false accepts any certificate.
func deliveryClients(given *http.Client) (verifying, trusting *http.Client) {
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if given != nil {
		c := *given
		c.CheckRedirect = noRedirect
		return &c, &c
	}
	client := func(insecure bool) *http.Client {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DisableCompression = true // .NET sends no Accept-Encoding of its own accord
		t.Proxy = nil
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: insecure} //nolint:gosec // what DocSpace does
		return &http.Client{Transport: t, CheckRedirect: noRedirect}
	}
	return client(false), client(true)
}

// Start listens on a free port of the loopback interface and answers the portal's URL.
// Close stops it. Tests with simulated time use Transport instead.
func (p *Portal) Start() (url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return p.baseURL
	}
	l, err := new(net.ListenConfig).Listen(p.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		panic("portalsim: listen: " + err.Error())
	}
	p.listener = l
	p.baseURL = "http://" + l.Addr().String()
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug)}
	p.wg.Go(func() { _ = p.server.Serve(l) })
	return p.baseURL
}

// URL of the portal: where it listens after Start, else Options.BaseURL.
func (p *Portal) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.baseURL
}

// SetState makes the portal unpaid, suspended, restoring or active again.
func (p *Portal) SetState(s State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
}

// Close ends deliveries, operations and open requests, and waits for all of them. What was
// not delivered by then is lost, as it is when a real server's service restarts.
func (p *Portal) Close() {
	p.mu.Lock()
	p.closed = true
	server := p.server
	p.mu.Unlock()

	p.stop()
	if server != nil {
		_ = server.Close()
	}
	p.wg.Wait()
	for _, c := range []*http.Client{p.verifying, p.trusting} {
		if p.opts.HTTPClient == nil {
			c.CloseIdleConnections()
		}
	}
}

// newGUID draws a random GUID; p.mu must be held.
func (p *Portal) newGUID() string {
	id, err := uuid.NewRandomFromReader(p.rng)
	if err != nil {
		panic("portalsim: " + err.Error()) // a ChaCha8 source never fails
	}
	return id.String()
}

// now is the time as the portal's database keeps it: whole seconds.
func (p *Portal) now() time.Time { return p.clock().Truncate(time.Second) }

// clock is what the portal's clock shows.
func (p *Portal) clock() time.Time { return time.Now().UTC().Add(time.Duration(p.skew.Load())) }

// AdvanceClock sets the portal's clock ahead, for tests in which time passes on the portal alone.
func (p *Portal) AdvanceClock(d time.Duration) { p.skew.Add(int64(d)) }

// wait blocks for d, or until the portal closes: then it reports false.
func (p *Portal) wait(d time.Duration) bool {
	if d <= 0 {
		return p.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}
