package portalsim

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// batch is the body of PUT files/fileops/copy and move.
type batch struct {
	FileIDs               []json.RawMessage `json:"fileIds"`
	FolderIDs             []json.RawMessage `json:"folderIds"`
	DestFolderID          json.RawMessage   `json:"destFolderId"`
	ConflictResolveType   json.RawMessage   `json:"conflictResolveType"`
	DeleteAfter           bool              `json:"deleteAfter"` // throws the result away, no more
	Content               bool              `json:"content"`
	ToFillOut             bool              `json:"toFillOut"` // of forms; shows nowhere in what is simulated
	ReturnSingleOperation bool              `json:"returnSingleOperation"`
}

func (p *Portal) putCopy(c *call) (any, error) { return p.putOperation(c, false) }
func (p *Portal) putMove(c *call) (any, error) { return p.putOperation(c, true) }

// putOperation checks every id and the destination, and queues the operation only if
// nothing at all is wrong: one bad id rejects the whole batch.
func (p *Portal) putOperation(c *call, move bool) (any, error) {
	var in batch
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	op := &operation{
		owner: c.user, move: move, hold: !in.DeleteAfter, content: in.Content,
		single: in.ReturnSingleOperation, plan: c.plan,
	}
	var err error
	if op.files, err = usableIDs(in.FileIDs); err != nil {
		return nil, err
	}
	if op.folders, err = usableIDs(in.FolderIDs); err != nil {
		return nil, err
	}
	if op.conflict, err = conflictOf(in.ConflictResolveType); err != nil {
		return nil, err
	}
	p.calls.Batches = append(p.calls.Batches, len(op.files)+len(op.folders))

	if len(op.files)+len(op.folders) > 0 {
		if op.to, err = destination(in.DestFolderID); err != nil {
			return nil, err
		}
		if err := p.checkTransfer(op); err != nil {
			return nil, err
		}
		p.startOperation(op)
		if op.plan.finishInCall {
			p.mu.Unlock()
			select {
			case <-op.done:
			case <-p.ctx.Done():
			}
			p.mu.Lock()
		}
		if op.single {
			list := p.takeOperations(c.user, func(o *operation) bool { return o == op })
			if len(list) == 0 {
				list = []*operation{op} // lost or discarded, but this answer is fine
			}
			return p.operationDTOs(c, list), nil
		}
	}
	// All copies and moves of the user are read, and removed if ended; then only those of
	// this kind are shown. Somebody else's results may vanish here.
	list := p.takeOperations(c.user, func(*operation) bool { return true })
	list = slices.DeleteFunc(list, func(o *operation) bool { return o.move != move })
	return p.operationDTOs(c, list), nil
}

// usableIDs picks the ids of a batch: numbers, and strings, numeric ones of which are
// numbers too. Numbers that are not 32-bit integers fail; anything else is ignored. An id
// sent twice is worked on twice: nothing says that DocSpace notices.
func usableIDs(raw []json.RawMessage) ([]ID, error) {
	var ids []ID
	for _, r := range raw {
		id, ok, err := idOf(r)
		if err != nil {
			return nil, err
		}
		if ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// idOf reads one id; ok is false for what is no id at all.
func idOf(raw json.RawMessage) (_ ID, ok bool, _ error) {
	if len(raw) == 0 {
		return "", false, nil
	}
	text := string(raw)
	switch first := raw[0]; {
	case first == '"':
		if err := json.Unmarshal(raw, &text); err != nil {
			return "", false, badRequest(err.Error())
		}
		if n, err := strconv.ParseInt(text, 10, 32); err == nil {
			return intID(int(n)), true, nil
		}
		return ID(text), text != "", nil
	case first == '-', first >= '0' && first <= '9':
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return "", false, serverError("The JSON value is not in a supported Int32 format.", "System.FormatException")
		}
		return intID(int(n)), true, nil
	default:
		return "", false, nil
	}
}

// destination reads destFolderId. What DocSpace makes of a missing one is not known; that
// it fails is.
func destination(raw json.RawMessage) (ID, error) {
	id, ok, err := idOf(raw)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", serverError("Value cannot be null. (Parameter 'destFolderId')", "System.ArgumentNullException")
	}
	return id, nil
}

// conflictOf reads conflictResolveType, a name or a number.
func conflictOf(raw json.RawMessage) (Conflict, error) {
	text := strings.Trim(string(raw), `"`)
	switch strings.ToLower(text) {
	case "", "null", "skip", "0":
		return Skip, nil
	case "overwrite", "1":
		return Overwrite, nil
	case "duplicate", "2":
		return Duplicate, nil
	default:
		return 0, invalid("conflictResolveType", "The value '"+text+"' is not valid.")
	}
}

// checkTransfer is the check of a whole batch inside the PUT.
func (p *Portal) checkTransfer(op *operation) error {
	to := p.folders[op.to]
	if to == nil {
		return notFound(textFolderNotFound)
	}
	if !p.canCreateIn(op.owner, to) {
		return accessDenied() // the rooms section and the archive included
	}
	for i, id := range op.files {
		if err := p.checkFile(op, id, i == 0, to); err != nil {
			return err
		}
	}
	for i, id := range op.folders {
		if err := p.checkFolder(op, id, i == 0, to); err != nil {
			return err
		}
	}
	return p.checkForms(op, to)
}

func (p *Portal) checkFile(op *operation, id ID, first bool, to *folder) error {
	f := p.files[id]
	switch {
	case f == nil && first:
		// The permission check comes before anybody notices that there is no file.
		return accessDenied()
	case f == nil:
		return notFound(textFileNotFound)
	}
	from := p.folders[f.parent]
	room := p.placeOf(to).room
	switch {
	case !p.canRead(op.owner, from), !p.samePrivacy(from, to),
		!op.move && !p.canCopyFrom(op.owner, from),
		op.move && !p.canMoveFrom(op.owner, from, f.createdBy),
		op.move && (f.lockedFor(op.owner) || f.editing):
		return accessDenied()
	case !p.uploadable(f.title):
		return unsupported(textFormat)
	case room != nil && room.room.kind == RoomFormFilling && !f.isForm:
		if op.move {
			return refused(textMoveToForms)
		}
		return refused(textCopyToForms)
	}
	if op.conflict != Overwrite {
		return nil
	}
	switch other := p.clash(to.id, f.title, f.isForm); {
	case other == nil:
		return nil
	case other.editing:
		return accessDenied()
	case other.lockedFor(op.owner):
		return refused(textLocked)
	case !p.canEdit(op.owner, other):
		return refused(textNoRight)
	default:
		return nil
	}
}

func (p *Portal) checkFolder(op *operation, id ID, first bool, to *folder) error {
	d := p.folders[id]
	switch {
	case d == nil && first:
		return serverError("Object reference not set to an instance of an object.", "System.NullReferenceException")
	case d == nil:
		return notFound(textFolderNotFound)
	case d.room != nil, d.parent == "", !p.canRead(op.owner, d):
		// Rooms are not copied into folders, and sections not at all.
		return accessDenied()
	}
	from := p.folders[d.parent]
	switch {
	case p.inside(to.id, d.id):
		return refused(textIntoItself)
	case !p.samePrivacy(from, to),
		!op.move && !p.canCopyFrom(op.owner, d),
		op.move && !p.canMoveFrom(op.owner, from, d.createdBy):
		return accessDenied()
	}
	// A folder has to fit as a whole, and is told so at once; a single file later.
	if quota, used, what := p.quotaOf(from, to); quota > 0 && used+p.sizeOf(d.id) > quota {
		return refused(what + " space quota exceeded (" + humanSize(quota) + ")")
	}
	return nil
}

// checkForms: into a form filling room forms are moved one at a time, and no folders.
func (p *Portal) checkForms(op *operation, to *folder) error {
	room := p.placeOf(to).room
	if !op.move || room == nil || room.room.kind != RoomFormFilling {
		return nil
	}
	foreign := func(parent ID) bool { return p.placeOf(p.folders[parent]).room != room }
	for _, id := range op.folders {
		if foreign(p.folders[id].parent) {
			return refused(textOneForm)
		}
	}
	for _, id := range op.files {
		if len(op.files) > 1 && foreign(p.files[id].parent) {
			return refused(textOneForm)
		}
	}
	return nil
}

// operationDTOs describes operations. While one runs, files and folders hold what it has
// worked on; afterwards what came of it.
func (p *Portal) operationDTOs(c *call, list []*operation) []dto {
	answer := []dto{}
	for _, op := range list {
		kind := 1
		if op.move {
			kind = 0
		}
		o := dto{
			"id": op.id, "Operation": kind, "progress": op.progress, "error": op.err,
			"processed": strconv.Itoa(op.processed), "finished": op.finished, "status": op.status,
		}
		if op.status >= statusCompleted {
			o["progress"] = 100
		}
		refs := op.touched
		if op.status >= statusCompleted {
			refs = slices.Concat(op.resultFolders, op.resultFiles)
		}
		var files, folders []dto
		for _, ref := range refs {
			if f := p.files[ref.id]; ref.kind == KindFile && f != nil {
				files = append(files, p.fileDTO(f, c.user))
			}
			if d := p.folders[ref.id]; ref.kind == KindFolder && d != nil {
				folders = append(folders, p.folderDTO(d, c.user))
			}
		}
		if files != nil {
			o["files"] = files
		}
		if folders != nil {
			o["folders"] = folders
		}
		answer = append(answer, o)
	}
	return answer
}

// getOperations answers all operations of the user, or the one asked for. An empty answer
// says nothing: unknown, read before, expired and somebody else's look the same.
func (p *Portal) getOperations(c *call) (any, error) {
	id := c.query.Get("id")
	list := p.takeOperations(c.user, func(op *operation) bool { return id == "" || op.id == id })
	return p.operationDTOs(c, list), nil
}

// getOperationsOfType shows one type but, unless an id is given, reads and so removes the
// results of both.
func (p *Portal) getOperationsOfType(c *call) (any, error) {
	var move bool
	switch strings.ToLower(c.param("type")) {
	case "0": // the name "move" is another call
		move = true
	case "1", "copy":
	case "2", "3", "4", "5", "6", "7", "delete", "download", "markasread", "import", "convert", "duplicate":
		return []dto{}, nil // of these the simulation runs none
	default:
		return nil, invalid("operationType", "The value '"+c.param("type")+"' is not valid.")
	}
	id := c.query.Get("id")
	list := p.takeOperations(c.user, func(op *operation) bool { return id == "" || op.id == id })
	list = slices.DeleteFunc(list, func(op *operation) bool { return op.move != move })
	return p.operationDTOs(c, list), nil
}

// terminate removes and cancels one operation or all of the user's. What was copied stays.
func (p *Portal) terminate(c *call) (any, error) {
	id := c.param("id")
	for _, op := range p.operations {
		if op.owner == c.user && (id == "" || op.id == id) {
			p.drop(op)
		}
	}
	return p.operationDTOs(c, p.takeOperations(c.user, func(*operation) bool { return true })), nil
}

// checkConflicts answers the files and folders asked for whose titles the destination has.
func (p *Portal) checkConflicts(c *call) (any, error) {
	to := p.folders[ID(c.query.Get("destFolderId"))]
	if to == nil || !p.canCreateIn(c.user, to) {
		return nil, accessDenied()
	}
	list := []dto{}
	for _, id := range c.query["fileIds"] {
		f := p.files[ID(id)]
		if f == nil || !p.canRead(c.user, p.folders[f.parent]) {
			return nil, accessDenied()
		}
		if p.clash(to.id, f.title, f.isForm) != nil {
			list = append(list, p.fileDTO(f, c.user))
		}
	}
	for _, id := range c.query["folderIds"] {
		d := p.folders[ID(id)]
		if d == nil || !p.canRead(c.user, d) {
			return nil, accessDenied()
		}
		if p.folderTitled(to.id, d.title) != nil {
			list = append(list, p.folderDTO(d, c.user))
		}
	}
	return list, nil
}

// checkDestination looks at the rule of form filling rooms only, and confuses file ids with
// folder ids: do not rely on it.
func (p *Portal) checkDestination(c *call) (any, error) {
	to := p.folders[ID(c.query.Get("destFolderId"))]
	if to == nil {
		return nil, notFound(textFolderNotFound)
	}
	room := p.placeOf(to).room
	forms := room != nil && room.room.kind == RoomFormFilling
	ids := slices.Concat(c.query["fileIds"], c.query["folderIds"])
	fitting := []dto{}
	for _, id := range ids {
		if f := p.files[ID(id)]; f != nil && (!forms || f.isForm) {
			fitting = append(fitting, p.fileDTO(f, c.user))
		}
	}
	const all, part, none = 0, 1, 2
	result := part
	switch len(fitting) {
	case len(ids):
		result = all
	case 0:
		result = none
	}
	return dto{"result": result, "files": fitting}, nil
}
