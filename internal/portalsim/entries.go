package portalsim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

// Types of folders, as DocSpace numbers them.
const (
	typeTrash     = 3
	typeDocuments = 5
	typeRooms     = 14
	typeArchive   = 20
)

// Room types, as rooms are created and listed with. The folder type of a room is another
// number, which is what parentRoomType in API answers holds.
const (
	RoomFormFilling = 1
	RoomEditing     = 2
	RoomCustom      = 5
	RoomPublic      = 6
	RoomData        = 8
	RoomAI          = 9
)

var folderTypeOfRoom = map[int]int{
	RoomFormFilling: 15, RoomEditing: 16, RoomCustom: 19, RoomPublic: 22, RoomData: 29, RoomAI: 31,
}

// Room is a room to be added.
type Room struct {
	Title   string
	Type    int // one of the Room constants; default RoomCustom
	Tags    []string
	Owner   UserID // default SystemUser
	Members map[UserID]Access
	// Quota in bytes, zero for none. A move that does not fit is refused; a copy may
	// overshoot once, up to twice the quota.
	Quota int64
	// Private rooms exchange nothing with the rest of the portal.
	Private bool
	// DenyDownload forbids to copy files out of the room.
	DenyDownload bool
}

// File is a file to be added.
type File struct {
	Title   string
	Size    int64
	By      UserID // author; default SystemUser
	Comment string
	// IsForm makes a PDF a form, a category of its own: a form and a plain file of one
	// title do not clash.
	IsForm    bool
	Encrypted bool
	Created   time.Time // default now
}

// Entry is a file or folder as it is now.
type Entry struct {
	Kind                  Kind
	ID, ParentID          ID
	Title                 string
	Path                  string // titles below the folder asked for, joined by "/"; Tree only
	Size                  int64
	Version               int
	CreatedBy, ModifiedBy UserID
	Created, Modified     time.Time
	IsForm                bool
	Comment               string
}

type folder struct {
	id, parent            ID
	title                 string
	kind                  int // DocSpace's folder type
	createdBy, modifiedBy UserID
	created, modified     time.Time
	room                  *roomInfo // nil for plain folders and sections
	account               *account  // nil in DocSpace's own storage
}

type roomInfo struct {
	kind                  int
	tags                  []string
	members               map[UserID]Access
	quota                 int64
	private, denyDownload bool
}

type file struct {
	id, parent            ID
	title                 string
	size                  int64
	version               int
	createdBy, modifiedBy UserID
	created, modified     time.Time
	comment               string
	isForm, encrypted     bool
	lockedBy              UserID
	editing               bool
	account               *account
}

// shelf holds the direct children of one folder.
type shelf struct {
	files   map[ID]*file
	folders map[ID]*folder
	named   map[string]map[ID]*file // by lower-cased title: batches look for clashes a lot
}

func (p *Portal) shelfOf(id ID) *shelf {
	s := p.shelves[id]
	if s == nil {
		s = &shelf{files: map[ID]*file{}, folders: map[ID]*folder{}, named: map[string]map[ID]*file{}}
		p.shelves[id] = s
	}
	return s
}

func (p *Portal) attachFile(f *file) {
	s := p.shelfOf(f.parent)
	s.files[f.id] = f
	name := strings.ToLower(f.title)
	if s.named[name] == nil {
		s.named[name] = map[ID]*file{}
	}
	s.named[name][f.id] = f
	p.files[f.id] = f
}

func (p *Portal) detachFile(f *file) {
	s := p.shelfOf(f.parent)
	delete(s.files, f.id)
	name := strings.ToLower(f.title)
	delete(s.named[name], f.id)
	if len(s.named[name]) == 0 {
		delete(s.named, name)
	}
	delete(p.files, f.id)
}

func (p *Portal) attachFolder(d *folder) {
	p.shelfOf(d.parent).folders[d.id] = d
	p.folders[d.id] = d
}

func (p *Portal) detachFolder(d *folder) {
	delete(p.shelfOf(d.parent).folders, d.id)
	delete(p.folders, d.id)
}

// filesIn lists the files directly in a folder, by id.
func (p *Portal) filesIn(id ID) []*file {
	s := p.shelfOf(id)
	list := make([]*file, 0, len(s.files))
	for _, f := range s.files {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b *file) int { return compareIDs(a.id, b.id) })
	return list
}

func (p *Portal) foldersIn(id ID) []*folder {
	s := p.shelfOf(id)
	list := make([]*folder, 0, len(s.folders))
	for _, d := range s.folders {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b *folder) int { return compareIDs(a.id, b.id) })
	return list
}

func compareIDs(a, b ID) int {
	switch {
	case a.less(b):
		return -1
	case b.less(a):
		return 1
	default:
		return 0
	}
}

// clash finds the file a new file of this title would collide with: titles are compared
// without case, and only within one category, so a form never clashes with a plain PDF.
func (p *Portal) clash(in ID, title string, isForm bool) *file {
	var found *file
	for _, f := range p.shelfOf(in).named[strings.ToLower(title)] {
		if f.isForm == isForm && (found == nil || f.id.less(found.id)) {
			found = f
		}
	}
	return found
}

func (p *Portal) folderTitled(in ID, title string) *folder {
	for _, d := range p.foldersIn(in) {
		if strings.EqualFold(d.title, title) {
			return d
		}
	}
	return nil
}

// freeTitle inserts " (1)", " (2)" ... before the extension until taken says no.
func freeTitle(title string, kind Kind, taken func(string) bool) string {
	name, ext := title, ""
	if kind == KindFile {
		ext = extension(title)
		name = strings.TrimSuffix(title, ext)
	}
	for n := 1; taken(title); n++ {
		title = fmt.Sprintf("%s (%d)%s", name, n, ext)
	}
	return title
}

// extension of a title, with its dot and in its own case.
func extension(title string) string {
	if i := strings.LastIndexByte(title, '.'); i >= 0 {
		return title[i:]
	}
	return ""
}

// maxTitle is where DocSpace cuts titles, in UTF-16 code units.
const maxTitle = 170

// cleanTitle is what DocSpace stores when asked to store title: trimmed, cut, and with an
// underscore for every forbidden character and for every UTF-16 surrogate, so that an
// emoji becomes two of them.
func cleanTitle(title string) string {
	units := utf16.Encode([]rune(strings.TrimSpace(title)))
	for i, u := range units {
		surrogate := u >= 0xd800 && u <= 0xdfff
		if surrogate || u < 0x80 && strings.ContainsRune("\t*+:\"<>?|\\/", rune(u)) {
			units[i] = '_'
		}
	}
	return string(utf16.Decode(units[:min(len(units), maxTitle)]))
}

// savedTitle is cleanTitle for files, whose extension is lower-cased on every save.
func savedTitle(title string) string {
	title = cleanTitle(title)
	ext := extension(title)
	return strings.TrimSuffix(title, ext) + strings.ToLower(ext)
}

// place says where in the portal a folder lies.
type place struct {
	section *folder // "Rooms", "My documents", "Archive" ...
	room    *folder // nil outside rooms
	account *folder // root of the connected account, nil in DocSpace's own storage
}

func (p *Portal) placeOf(d *folder) place {
	var pl place
	for ; d != nil; d = p.folders[d.parent] {
		switch {
		case d.room != nil:
			pl.room = d
		case d.account != nil && d.id == d.account.root:
			pl.account = d
		}
		pl.section = d
	}
	return pl
}

// rootID is what webhooks call rootId: the section, or the account in third-party storage.
func (pl place) rootID() ID {
	switch {
	case pl.account != nil:
		return pl.account.id
	case pl.section != nil:
		return pl.section.id
	default:
		return ""
	}
}

// inside reports whether folder id is top or lies below it.
func (p *Portal) inside(id, top ID) bool {
	for d := p.folders[id]; d != nil; d = p.folders[d.parent] {
		if d.id == top {
			return true
		}
	}
	return false
}

// newFolderID: folder numbers, unlike those of files, are never used twice.
func (p *Portal) newFolderID() ID {
	for {
		p.lastFolder++
		if id := intID(p.lastFolder); p.folders[id] == nil {
			return id
		}
	}
}

// newFileID is the highest number in the table plus one, so that the number of the newest
// file comes back after that file was deleted for good.
func (p *Portal) newFileID() ID {
	p.maxFile++
	return intID(p.maxFile)
}

// forgetFileID lowers the mark newFileID counts from, when the newest file is gone.
func (p *Portal) forgetFileID(id ID) {
	if n, ok := id.number(); !ok || n != p.maxFile {
		return
	}
	highest := p.opts.FirstFileID - 1
	for other := range p.files {
		if n, ok := other.number(); ok && n > highest {
			highest = n
		}
	}
	p.maxFile = highest
}

func (p *Portal) addSection(title string, kind int, by UserID) ID {
	d := &folder{id: p.newFolderID(), title: title, kind: kind, createdBy: by, modifiedBy: by, created: p.now(), modified: p.now()}
	p.attachFolder(d)
	return d.id
}

// putFile stores a new file in a folder and gives it its id.
func (p *Portal) putFile(in *folder, f *file) *file {
	f.parent = in.id
	f.account = in.account
	f.version = max(f.version, 1)
	if f.created.IsZero() {
		f.created = p.now()
	}
	if f.modified.IsZero() {
		f.modified = f.created
	}
	if f.modifiedBy == "" {
		f.modifiedBy = f.createdBy
	}
	if in.account != nil {
		// Connected storage knows no uploader and no history: everything is the account
		// owner's, and in its first version.
		f.createdBy, f.modifiedBy, f.version = in.account.owner, in.account.owner, 1
		f.id = p.accountID(in, f.title)
	} else {
		f.id = p.newFileID()
	}
	p.attachFile(f)
	return f
}

// putFolder stores a new folder in another.
func (p *Portal) putFolder(in *folder, title string, by UserID) *folder {
	d := &folder{parent: in.id, title: title, createdBy: by, modifiedBy: by, created: p.now(), modified: p.now(), account: in.account}
	if in.account != nil {
		d.createdBy, d.modifiedBy = in.account.owner, in.account.owner
		d.id = p.accountID(in, title)
	} else {
		d.id = p.newFolderID()
	}
	p.attachFolder(d)
	return d
}

// removeFile deletes a file for good.
func (p *Portal) removeFile(f *file) {
	p.detachFile(f)
	p.forgetFileID(f.id)
}

// removeFolder deletes a folder and everything below it for good.
func (p *Portal) removeFolder(d *folder) {
	for _, f := range p.filesIn(d.id) {
		p.removeFile(f)
	}
	for _, sub := range p.foldersIn(d.id) {
		p.removeFolder(sub)
	}
	p.detachFolder(d)
	delete(p.shelves, d.id)
}

// sizeOf sums up the files below a folder.
func (p *Portal) sizeOf(id ID) int64 {
	var sum int64
	for _, f := range p.shelfOf(id).files {
		sum += f.size
	}
	for sub := range p.shelfOf(id).folders {
		sum += p.sizeOf(sub)
	}
	return sum
}

// List answers the files and folders directly in a folder, sorted by id; of a file and a
// folder with the same number the folder comes first.
func (p *Portal) List(id ID) []Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mustFolder(id)
	return p.listing(id)
}

func (p *Portal) listing(id ID) []Entry {
	var list []Entry
	for _, d := range p.foldersIn(id) {
		list = append(list, d.entry())
	}
	for _, f := range p.filesIn(id) {
		list = append(list, f.entry())
	}
	slices.SortStableFunc(list, func(a, b Entry) int { return compareIDs(a.ID, b.ID) })
	return list
}

// Tree answers everything below a folder with its path, sorted by path and then id.
func (p *Portal) Tree(id ID) []Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mustFolder(id)
	var tree []Entry
	var walk func(id ID, path string)
	walk = func(id ID, path string) {
		for _, e := range p.listing(id) {
			e.Path = path + e.Title
			tree = append(tree, e)
			if e.Kind == KindFolder {
				walk(e.ID, e.Path+"/")
			}
		}
	}
	walk(id, "")
	slices.SortStableFunc(tree, func(a, b Entry) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), compareIDs(a.ID, b.ID))
	})
	return tree
}

// FileByID answers one file, and whether it exists.
func (p *Portal) FileByID(id ID) (Entry, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.files[id]
	if f == nil {
		return Entry{}, false
	}
	return f.entry(), true
}

// FolderByID answers one folder or room, and whether it exists.
func (p *Portal) FolderByID(id ID) (Entry, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.folders[id]
	if d == nil {
		return Entry{}, false
	}
	return d.entry(), true
}

func (f *file) entry() Entry {
	return Entry{
		Kind: KindFile, ID: f.id, ParentID: f.parent, Title: f.title, Size: f.size, Version: f.version,
		CreatedBy: f.createdBy, ModifiedBy: f.modifiedBy, Created: f.created, Modified: f.modified,
		IsForm: f.isForm, Comment: f.comment,
	}
}

func (d *folder) entry() Entry {
	return Entry{
		Kind: KindFolder, ID: d.id, ParentID: d.parent, Title: d.title,
		CreatedBy: d.createdBy, ModifiedBy: d.modifiedBy, Created: d.created, Modified: d.modified,
	}
}

func (p *Portal) mustFolder(id ID) *folder {
	d := p.folders[id]
	if d == nil {
		panic(fmt.Sprintf("portalsim: no folder %q", id))
	}
	return d
}

func (p *Portal) mustFile(id ID) *file {
	f := p.files[id]
	if f == nil {
		panic(fmt.Sprintf("portalsim: no file %q", id))
	}
	return f
}
