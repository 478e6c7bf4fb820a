package portalsim

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

const (
	maxPage         = 100
	maxFolderTitle  = 165 // of POST files/folder; longer ones fail validation
	textNoView      = "You don't have enough permission to view the folder content"
	textNoViewFile  = "You don't have enough permission to view the file"
	textTitleTooBig = "The field Title must be a string with a maximum length of 165."
)

// readable finds a folder the caller may read.
func (p *Portal) readable(c *call, id ID) (*folder, error) {
	d := p.folders[id]
	switch {
	case d == nil:
		return nil, notFound(textFolderNotFound)
	case !p.canRead(c.user, d):
		return nil, refused(textNoView)
	default:
		return d, nil
	}
}

func (p *Portal) getFolder(c *call) (any, error) {
	d, err := p.readable(c, c.id())
	if err != nil {
		return nil, err
	}
	return p.folderDTO(d, c.user), nil
}

// getPath answers the folders from the section down to the one asked for, without those
// the caller may not read.
func (p *Portal) getPath(c *call) (any, error) {
	d, err := p.readable(c, c.id())
	if err != nil {
		return nil, err
	}
	path := []dto{}
	for _, step := range p.ancestry(d) {
		if p.canRead(c.user, step) {
			path = append(path, p.folderDTO(step, c.user))
		}
	}
	return path, nil
}

// ancestry lists the folders from the section down to d. The root of a connected account
// is no folder anybody sees on the way.
func (p *Portal) ancestry(d *folder) []*folder {
	var steps []*folder
	for ; d != nil; d = p.folders[d.parent] {
		if d.account == nil || d.id != d.account.root {
			steps = append(steps, d)
		}
	}
	slices.Reverse(steps)
	return steps
}

func (p *Portal) getSubfolders(c *call) (any, error) {
	d, err := p.readable(c, c.id())
	if err != nil {
		return nil, err
	}
	list := []dto{}
	for _, sub := range p.foldersIn(d.id) {
		if p.canRead(c.user, sub) {
			list = append(list, p.folderDTO(sub, c.user))
		}
	}
	return list, nil
}

func (p *Portal) getFile(c *call) (any, error) {
	f := p.files[c.id()]
	if f == nil {
		return nil, notFound(textFileNotFound)
	}
	if !p.canRead(c.user, p.folders[f.parent]) {
		return nil, refused(textNoViewFile)
	}
	version, err := c.number("version", -1)
	if err != nil {
		return nil, err
	}
	if version > f.version {
		return nil, notFound(textFileNotFound)
	}
	o := p.fileDTO(f, c.user)
	if version > 0 {
		// Of older versions the simulation remembers nothing but their number.
		o["version"] = version
	}
	return o, nil
}

// getContents lists a folder page by page, folders first. Unless told otherwise it lists
// what is in subfolders as well.
func (p *Portal) getContents(c *call) (any, error) {
	d, err := p.readable(c, c.id())
	if err != nil {
		return nil, err
	}
	start, count, err := c.paging(maxPage)
	if err != nil {
		return nil, err
	}
	count = min(max(count, 0), maxPage)

	folders, files := p.collect(d.id, c.flag("withSubFolders", true))
	filter := contentFilter(c)
	folders = slices.DeleteFunc(folders, func(sub *folder) bool {
		return !filter.folders || !filter.title(sub.title) || !filter.by(sub.createdBy) || !p.canRead(c.user, sub)
	})
	files = slices.DeleteFunc(files, func(f *file) bool {
		return !filter.files || !filter.title(f.title) || !filter.by(f.createdBy)
	})
	order := readOrder(c, "DateAndTime", true)
	slices.SortStableFunc(folders, func(a, b *folder) int { return order.compare(a.sortKey(), b.sortKey()) })
	slices.SortStableFunc(files, func(a, b *file) int { return order.compare(a.sortKey(), b.sortKey()) })

	total := len(folders) + len(files)
	c.total = &total
	pageOfFolders := page(folders, start, count)
	pageOfFiles := page(files, max(start-len(folders), 0), count-len(pageOfFolders))

	return p.contentDTO(c, d, pageOfFolders, pageOfFiles, start, total), nil
}

// contentDTO is the answer of every call that lists a folder, files/rooms included.
func (p *Portal) contentDTO(c *call, d *folder, folders []*folder, files []*file, start, total int) dto {
	folderList, fileList, parts := []dto{}, []dto{}, []dto{}
	for _, sub := range folders {
		folderList = append(folderList, p.folderDTO(sub, c.user))
	}
	for _, f := range files {
		fileList = append(fileList, p.fileDTO(f, c.user))
	}
	for _, step := range p.ancestry(d) {
		if !p.canRead(c.user, step) {
			continue
		}
		part := dto{"id": step.id, "title": step.title, "folderType": step.kind}
		if step.room != nil {
			part["roomType"] = step.room.kind
		}
		parts = append(parts, part)
	}
	return dto{
		"files": fileList, "folders": folderList, "current": p.folderDTO(d, c.user), "pathParts": parts,
		"startIndex": start, "count": len(folderList) + len(fileList), "total": total, "new": 0,
	}
}

// collect gathers what is in a folder, with everything below it if asked to.
func (p *Portal) collect(id ID, deep bool) ([]*folder, []*file) {
	folders, files := p.foldersIn(id), p.filesIn(id)
	if !deep {
		return folders, files
	}
	for _, sub := range p.foldersIn(id) {
		below, belowFiles := p.collect(sub.id, true)
		folders = append(folders, below...)
		files = append(files, belowFiles...)
	}
	return folders, files
}

// filter is what a listing is narrowed by.
type filter struct {
	files, folders bool
	text           string
	author         UserID
}

func contentFilter(c *call) filter {
	f := filter{
		files: true, folders: true, text: strings.ToLower(c.query.Get("filterValue")),
		author: UserID(strings.ToLower(c.query.Get("userIdOrGroupId"))),
	}
	switch strings.ToLower(c.query.Get("filterType")) {
	case "1", "filesonly":
		f.folders = false
	case "2", "foldersonly":
		f.files = false
	}
	return f
}

func (f filter) title(t string) bool { return strings.Contains(strings.ToLower(t), f.text) }
func (f filter) by(u UserID) bool    { return f.author == "" || f.author == u }

// sortKey is what entries are ordered by.
type sortKey struct {
	id                ID
	title             string
	created, modified time.Time
	size              int64
}

func (f *file) sortKey() sortKey   { return sortKey{f.id, f.title, f.created, f.modified, f.size} }
func (d *folder) sortKey() sortKey { return sortKey{d.id, d.title, d.created, d.modified, 0} }

type order struct {
	by      string
	descend bool
}

// readOrder reads sortBy and sortOrder, with the order of a listing that has neither.
func readOrder(c *call, standard string, descend bool) order {
	o := order{by: c.query.Get("sortBy"), descend: strings.EqualFold(c.query.Get("sortOrder"), "descending")}
	if o.by == "" {
		o.by = standard
		if c.query.Get("sortOrder") == "" {
			o.descend = descend
		}
	}
	return o
}

func (o order) compare(a, b sortKey) int {
	result := 0
	switch strings.ToLower(o.by) {
	case "dateandtimecreation":
		result = a.created.Compare(b.created)
	case "dateandtime":
		result = a.modified.Compare(b.modified)
	case "size":
		result = cmp.Compare(a.size, b.size)
	default: // AZ
		result = strings.Compare(strings.ToLower(a.title), strings.ToLower(b.title))
	}
	result = cmp.Or(result, compareIDs(a.id, b.id))
	if o.descend {
		return -result
	}
	return result
}

// postFolder creates a folder. The stored title may differ from the one asked for, titles
// may repeat, and a parent that does not exist is "denied", not "not found".
func (p *Portal) postFolder(c *call) (any, error) {
	var in struct{ Title string }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if len(utf16.Encode([]rune(in.Title))) > maxFolderTitle {
		return nil, invalid("Title", textTitleTooBig)
	}
	if strings.TrimSpace(in.Title) == "" {
		return nil, badRequest("The title is empty")
	}
	parent := p.folders[c.id()]
	if parent == nil || !p.canCreateIn(c.user, parent) {
		return nil, accessDenied()
	}
	return p.folderDTO(p.createFolder(parent, in.Title, c.user), c.user), nil
}

// postFile creates an empty document: file.created.
func (p *Portal) postFile(c *call) (any, error) {
	var in struct{ Title string }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	parent := p.folders[c.id()]
	if parent == nil || !p.canCreateIn(c.user, parent) {
		return nil, accessDenied()
	}
	return p.fileDTO(p.createFile(parent, in.Title, c.user), c.user), nil
}

// postUpload is the upload in one request, of which a file fires two events.
func (p *Portal) postUpload(c *call) (any, error) {
	parent := p.folders[c.id()]
	if parent == nil || !p.canCreateIn(c.user, parent) {
		return nil, accessDenied()
	}
	_, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, badRequest("No file was sent")
	}
	uploaded := []dto{}
	parts := multipart.NewReader(bytes.NewReader(c.body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, badRequest("The upload is incomplete")
		}
		size, err := io.Copy(io.Discard, part)
		if err != nil {
			return nil, badRequest("The upload is incomplete")
		}
		if part.FileName() == "" {
			continue
		}
		if !p.uploadable(part.FileName()) {
			return nil, unsupported(textFormat)
		}
		uploaded = append(uploaded, p.fileDTO(p.uploadOneShot(parent, part.FileName(), size, c.user), c.user))
	}
	return uploaded, nil
}
