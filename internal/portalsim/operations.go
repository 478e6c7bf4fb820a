package portalsim

import (
	"cmp"
	"slices"
	"time"
)

// Conflict says what becomes of an entry whose title is taken in the destination.
type Conflict int

// Rules for conflicts, and DocSpace's default among them: Skip.
const (
	Skip      Conflict = 0 // it stays where it is, silently
	Overwrite Conflict = 1 // it becomes a new version of the one there
	Duplicate Conflict = 2 // a copy gets a number behind its title, a move shares the title
)

// Operation is a fileops operation, for assertions.
type Operation struct {
	ID             string
	Owner          UserID
	Move           bool
	Files, Folders []ID // as asked for
	Destination    ID
	Conflict       Conflict
	DeleteAfter    bool
	Content        bool
	Single         bool // returnSingleOperation
	Results        []ID // of the entries in the destination, folders first
	Error          string
	Processed      int
	Finished       bool      // its work ended
	Cancelled      bool      // terminated, expired or lost before that
	Seen           bool      // its result was read, and so is gone
	Queued, Ended  time.Time // Ended is zero while it has not
}

// operation statuses, as DocSpace numbers them.
const (
	statusCreated   = 0
	statusRunning   = 1
	statusCompleted = 2
	statusCancelled = 3
)

// operation is a fileops operation in the portal. Portal.mu guards it.
type operation struct {
	id             string
	number         int // in order of arrival
	owner          UserID
	move           bool
	files, folders []ID
	to             ID
	conflict       Conflict
	hold           bool // keep the result until it is read: the opposite of deleteAfter
	content        bool
	single         bool
	instant        bool // a person's action: no rights, no waiting, no progress

	status, progress, processed int
	steps, total                int
	err                         string
	finished, cancelled, seen   bool
	current                     int // index of the top-level item at work
	within                      int // how many entries of that item have had their turn
	touched                     []entryRef
	resultFolders, resultFiles  []entryRef
	queued, ended, updated      time.Time

	plan    plan
	dropped chan struct{} // closed when the operation is cancelled
	done    chan struct{} // closed when its work has ended
}

type entryRef struct {
	kind Kind
	id   ID
}

// note keeps the last error that was not empty: earlier ones are lost.
func (op *operation) note(text string) {
	if text != "" {
		op.err = text
	}
}

// startOperation hands an operation to the workers.
func (p *Portal) startOperation(op *operation) {
	op.id = p.newGUID()
	op.queued = time.Now().UTC()
	op.updated = op.queued
	op.dropped, op.done = make(chan struct{}), make(chan struct{})
	p.operationLog = append(p.operationLog, op)
	op.number = len(p.operationLog)
	if !op.plan.lose {
		p.operations[op.id] = op
	} else if !op.plan.loseRan {
		op.cancelled, op.ended = true, p.now()
		close(op.dropped)
		close(op.done)
		return
	}
	p.waiting = append(p.waiting, op)
	p.employ()
}

// employ gives waiting operations to free workers, first come, first served.
func (p *Portal) employ() {
	for p.running < p.opts.Timings.Workers && len(p.waiting) > 0 && p.ctx.Err() == nil {
		op := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.running++
		p.wg.Go(func() {
			p.runOperation(op)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.running--
			p.employ()
		})
	}
}

// runOperation does an operation's work.
func (p *Portal) runOperation(op *operation) {
	defer close(op.done)
	p.mu.Lock()
	defer p.mu.Unlock()
	if op.cancelled { // while it waited for a worker
		return
	}
	op.status, op.updated = statusRunning, time.Now()
	if to := p.folders[op.to]; op.plan.deleteDestination && to != nil {
		p.removeFolder(to)
	}
	if op.content {
		p.unfold(op)
		if len(op.files)+len(op.folders) == 0 {
			// Nothing to do: the task completes, but never says that it finished.
			op.status, op.ended = statusCompleted, p.now()
			return
		}
	}
	op.total = len(op.files)
	for _, id := range op.folders {
		op.total += 1 + p.itemCount(id)
	}
	// A destination that is gone, or closed by now, ends the operation with an exception
	// that is only logged: it finishes without an error and without a result.
	if to := p.folders[op.to]; to != nil && p.canCreateIn(op.owner, to) {
		p.runItems(op, to)
	}
	p.finish(op)
}

// unfold replaces the folders of an operation by their direct children.
func (p *Portal) unfold(op *operation) {
	folders := op.folders
	op.folders = nil
	for _, id := range folders {
		for _, sub := range p.foldersIn(id) {
			op.folders = append(op.folders, sub.id)
		}
		for _, f := range p.filesIn(id) {
			op.files = append(op.files, f.id)
		}
	}
}

func (p *Portal) itemCount(id ID) int {
	n := len(p.shelfOf(id).files)
	for sub := range p.shelfOf(id).folders {
		n += 1 + p.itemCount(sub)
	}
	return n
}

// runItems works through folders and then files.
func (p *Portal) runItems(op *operation, to *folder) {
	if len(op.folders) > 0 {
		// The list of result folders begins with the destination itself.
		op.resultFolders = append(op.resultFolders, entryRef{KindFolder, to.id})
	}
	for i, id := range op.folders {
		result, ok := p.runItem(op, i, func() (ID, string) {
			d := p.folders[id]
			if d == nil {
				return "", textFolderNotFound
			}
			if p.folders[to.id] == nil {
				return "", ""
			}
			return p.transferFolder(op, d, to)
		})
		if !ok {
			return
		}
		if result != "" {
			op.touched = append(op.touched, entryRef{KindFolder, id})
			op.resultFolders = append(op.resultFolders, entryRef{KindFolder, result})
		}
	}
	for i, id := range op.files {
		result, ok := p.runItem(op, len(op.folders)+i, func() (ID, string) {
			f := p.files[id]
			if f == nil {
				return "", textFileNotFound
			}
			if p.folders[to.id] == nil {
				return "", ""
			}
			result, text := p.transferFile(op, f, to)
			if result != "" {
				op.processed++
			}
			return result, text
		})
		if !ok {
			return
		}
		if result != "" {
			op.touched = append(op.touched, entryRef{KindFile, id})
			op.resultFiles = append(op.resultFiles, entryRef{KindFile, result})
		}
	}
}

// runItem takes one item's time and does it. It reports false when the operation ends here.
func (p *Portal) runItem(op *operation, index int, do func() (ID, string)) (ID, bool) {
	op.current, op.within = index, 0
	if !p.tick(op) {
		return "", false
	}
	if op.plan.stuck && op.plan.stuckAt == index && op.cancelled && op.plan.stuckUndone {
		return "", false
	}
	if text, failing := op.plan.failures[index]; failing {
		op.note(text)
		return "", true
	}
	result, text := do()
	op.note(text)
	return result, true
}

// tick is one item's worth of progress and time. An operation cancelled before is over; one
// that is cancelled meanwhile, by the portal's cleaner or by request, still does the item
// it is at. Called and returning with p.mu held, it lets go of it while it waits.
func (p *Portal) tick(op *operation) bool {
	if op.instant {
		return true
	}
	if op.cancelled || p.ctx.Err() != nil {
		return false
	}
	stuck := op.plan.stuck && op.plan.stuckAt == op.current && op.plan.stuckWithin == op.within
	if d := p.opts.Timings.ItemDuration; d > 0 || stuck {
		p.mu.Unlock()
		open := true
		if stuck {
			select {
			case <-op.dropped:
			case <-p.ctx.Done():
				open = false
			}
		} else {
			open = p.wait(d)
		}
		p.mu.Lock()
		if !open {
			return false
		}
	}
	op.steps++
	op.within++
	if op.total > 0 {
		op.progress = min(100, 100*op.steps/op.total)
	}
	op.updated = time.Now()
	return true
}

// finish ends an operation. Of a call with files and folders the files' results overwrite
// the folders'. Without hold the result is thrown away at once.
func (p *Portal) finish(op *operation) {
	op.ended, op.updated = p.now(), time.Now()
	if op.plan.loseError {
		op.err = ""
	}
	if len(op.files) > 0 {
		op.resultFolders = nil
	}
	if op.cancelled || p.ctx.Err() != nil {
		op.status = statusCancelled
		return
	}
	op.status, op.finished, op.progress = statusCompleted, true, 100
	if !op.hold {
		delete(p.operations, op.id)
	}
}

// drop removes an operation from sight and cancels what is left of it.
func (p *Portal) drop(op *operation) {
	delete(p.operations, op.id)
	if op.status < statusCompleted && !op.cancelled {
		op.cancelled = true
		close(op.dropped)
		if op.status == statusCreated {
			op.ended = p.now() // it never starts
		}
	}
}

// cleanOperations drops operations that made no progress for their time to live, finished
// or not. Progress is made item by item, so that one large file can take an operation out
// of sight while it is still being copied, and with it everything that was to follow.
func (p *Portal) cleanOperations() {
	if p.opts.Timings.CleanInterval <= 0 || p.opts.Timings.OperationTTL <= 0 {
		return
	}
	ticker := time.NewTicker(p.opts.Timings.CleanInterval)
	defer ticker.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-ticker.C:
		}
		p.mu.Lock()
		for _, op := range p.operations {
			if time.Since(op.updated) > p.opts.Timings.OperationTTL {
				p.drop(op)
			}
		}
		p.mu.Unlock()
	}
}

// takeOperations answers operations the way every read does: those that ended are removed,
// and so seen once only.
func (p *Portal) takeOperations(user UserID, matches func(*operation) bool) []*operation {
	var list []*operation
	for _, op := range p.operations {
		if op.owner == user && matches(op) {
			list = append(list, op)
		}
	}
	slices.SortFunc(list, func(a, b *operation) int {
		return cmp.Compare(a.number, b.number)
	})
	for _, op := range list {
		if op.status >= statusCompleted {
			op.seen = true
			delete(p.operations, op.id)
		}
	}
	return list
}

// Operations answers all operations there ever were, oldest first.
func (p *Portal) Operations() []Operation {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Operation, 0, len(p.operationLog))
	for _, op := range p.operationLog {
		o := Operation{
			ID: op.id, Owner: op.owner, Move: op.move, Files: slices.Clone(op.files), Folders: slices.Clone(op.folders),
			Destination: op.to, Conflict: op.conflict, DeleteAfter: !op.hold, Content: op.content, Single: op.single,
			Error: op.err, Processed: op.processed, Finished: op.finished, Cancelled: op.cancelled, Seen: op.seen,
			Queued: op.queued, Ended: op.ended,
		}
		for _, refs := range [][]entryRef{op.resultFolders, op.resultFiles} {
			for _, ref := range refs {
				o.Results = append(o.Results, ref.id)
			}
		}
		list = append(list, o)
	}
	return list
}
