package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"docspace-router/internal/config"
	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/rooms"
)

func newRooms(env environment) *cobra.Command {
	var flags rulesFlags
	cmd := &cobra.Command{
		Use:   "rooms",
		Short: "Lists rooms and folders with their ids, to write rules with",
		Long: `rooms lists the rooms that the gateway's account sees, with the ids, types and tags that
rules name, and with --tree the folders in them.

It takes the portals from the rules file, of which nothing else has to be there or right:
neither rules nor webhook secrets. Without a portals block, or without a file, it asks the
portal of ` + config.HostVariable + ` and ` + config.KeyVariable + `. The API key needs rooms:read, for
--tree also files:read.

A room that is missing is one the account has no role in.

Exit status: 0 the rooms are listed, 1 a portal could not be asked or the file does not
describe it, 2 wrong usage or unreadable input.`,
		Example: `  docspace-router rooms
  docspace-router rooms --filter client --tree
  docspace-router rooms --portal acme -o json`,
		Args: cobra.NoArgs,
	}
	flags.addFile(cmd)
	withVariables(cmd)
	output := addOutput(cmd)
	portal := cmd.Flags().String("portal", "", "list this `name`d portal alone")
	tree := cmd.Flags().Bool("tree", false, "also list the folders in the rooms")
	depth := depthFlag(3)
	cmd.Flags().Var(&depth, "depth", "how many levels of folders --tree lists")
	filter := cmd.Flags().String("filter", "", "only rooms with this `text` in their title or a tag, or with this id")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := fromEnvironment(cmd, env); err != nil {
			return err
		}
		if cmd.Flags().Changed("depth") && !*tree {
			return errors.New("--depth says how deep --tree goes: give --tree as well")
		}
		variable, _ := env.lookup("ROUTER_RULES")
		named := variable != "" || cmd.Flags().Changed("rules")
		portals, err := loadPortals(env, flags, named, *portal)
		if err != nil {
			return err
		}
		o := rooms.Options{Filter: *filter}
		if *tree {
			o.Depth = int(depth)
		}
		return listRooms(cmd.Context(), env, portals, o, output.value)
	}
	return cmd
}

// depthFlag is a number of levels.
type depthFlag int

// String implements pflag.Value.
func (d *depthFlag) String() string { return strconv.Itoa(int(*d)) }

// Type implements pflag.Value.
func (d *depthFlag) Type() string { return "levels" }

// Set implements pflag.Value.
func (d *depthFlag) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 100 {
		return fmt.Errorf("%q is not a number of levels, 1 to 100", s)
	}
	*d = depthFlag(n)
	return nil
}

// loadPortals reads the portals to be asked. A rules file that nobody named may be missing.
func loadPortals(env environment, flags rulesFlags, named bool, only string) ([]config.Portal, error) {
	portals, err := config.LoadPortals(flags.options(env), !named)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, unreadable(err)
	case err != nil:
		return nil, findings(err)
	case only == "":
		return portals, nil
	}
	p, err := choosePortal(&config.Config{Portals: portals}, only)
	if err != nil {
		return nil, unreadable(err)
	}
	return []config.Portal{p}, nil
}

// newClient makes a client for one command's questions.
func newClient(p config.Portal) (*docspace.Client, error) {
	return docspace.New(docspace.Options{
		Portal: p.Name, URL: p.URL, APIKey: p.APIKey.Reveal, UserAgent: "docspace-router/" + buildVersion(),
		Limits: docspace.Limits{RequestsPerMinute: p.Limits.RequestsPerMinute, ConcurrentWrites: p.Limits.ConcurrentWrites},
	})
}

// roomList is what the rooms of one portal are printed from.
type roomList struct {
	portal config.Portal
	list   rooms.List
	err    error
}

// listRooms asks every portal; one that cannot be asked does not hide the others.
func listRooms(ctx context.Context, env environment, portals []config.Portal, o rooms.Options, output string) error {
	all := make([]roomList, 0, len(portals))
	show, done := statusLine(env.stderr)
	for _, p := range portals {
		o.Progress = func(n int) { show("docspace-router: %d folders of portal %s …", n, p.Name) }
		r := roomList{portal: p}
		client, err := newClient(p)
		if err == nil {
			r.list, err = rooms.Read(ctx, client, o)
			client.Close()
		}
		done()
		r.err = err
		all = append(all, r)
	}
	var err error
	if output == "json" {
		err = writeJSON(env.stdout, asRooms(all))
	} else {
		printRooms(env.stdout, all, o)
	}
	var failed []error
	for _, r := range all {
		if r.err != nil {
			failed = append(failed, fmt.Errorf("portal %s: %w", r.portal.Name, roomsFailed(r.portal, r.err)))
		}
	}
	return errors.Join(err, findings(errors.Join(failed...)))
}

// roomsFailed says what can be done about a portal that was not listed.
func roomsFailed(p config.Portal, err error) error {
	var unanswered *docspace.UnansweredError
	if errors.As(err, &unanswered) && !unanswered.Sent && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s does not answer: %w: is the address right, in %s or the rules file?", p.URL, causeOf(err), config.HostVariable)
	}
	return fmt.Errorf("%w%s", err, scopeHint(err))
}

// scopeHint says what a refusal without a reason most likely means.
func scopeHint(err error) string {
	var status *docspace.StatusError
	if !errors.As(err, &status) || !docspace.IsCredentials(err) {
		return ""
	}
	switch status.StatusCode {
	case 401:
		return " (the API key is unknown, expired or switched off)"
	case 403:
		return " (the API key needs the scopes rooms:read and, for --tree, files:read)"
	case 404:
		return " (is the address right? a suspended portal answers so, too)"
	}
	return ""
}

// statusLine shows a line that is overwritten, when people watch, and in the end removes it.
func statusLine(w io.Writer) (show func(format string, args ...any), done func()) {
	if !isTerminal(w) {
		return func(string, ...any) {}, func() {}
	}
	shown := 0
	show = func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		fmt.Fprintf(w, "\r%-*s", shown, text)
		shown = len(text)
	}
	return show, func() {
		fmt.Fprintf(w, "\r%-*s\r", shown, "")
		shown = 0
	}
}

// isTerminal reports whether a stream is one; /dev/null, a device as well, is none.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func printRooms(w io.Writer, all []roomList, o rooms.Options) {
	for i, r := range all {
		if r.err != nil {
			continue
		}
		if len(all) > 1 {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "Portal %s, %s\n", r.portal.Name, r.portal.URL)
		}
		if len(r.list.Rooms) == 0 {
			if o.Filter != "" {
				fmt.Fprintf(w, "No room has %q in its title or tags, or as its id.\n", o.Filter)
			} else {
				fmt.Fprintln(w, "The account sees no rooms: invite it to those that take part.")
			}
			continue
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "ID\tTITLE\tTYPE\tTAGS")
		for _, room := range r.list.Rooms {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", room.ID, room.Title, room.Type, cmp.Or(strings.Join(room.Tags, ", "), "-"))
			printFolders(t, room.Folders, "  ")
		}
		_ = t.Flush() // like every print to the terminal
		for _, note := range notes(r.list, o) {
			fmt.Fprintln(w, note)
		}
	}
}

func printFolders(w io.Writer, folders []rooms.Folder, indent string) {
	for _, f := range folders {
		fmt.Fprintf(w, "%s\t%s%s\n", f.ID, indent, f.Title)
		printFolders(w, f.Folders, indent+"  ")
	}
}

// notes say what is not in a list.
func notes(l rooms.List, o rooms.Options) []string {
	var out []string
	if l.Cut {
		out = append(out, "There are more folders than are listed: --filter with fewer rooms, or a smaller --depth, shows all of them.")
	}
	if l.Deeper {
		out = append(out, fmt.Sprintf("Folders more than %s down are not listed: see --depth.", count(o.Depth, "level")))
	}
	for _, text := range l.Unread {
		out = append(out, "Not read: "+text)
	}
	return out
}

type (
	portalJSON struct {
		Portal string     `json:"portal"`
		URL    string     `json:"url"`
		Error  string     `json:"error,omitempty"`
		Rooms  []roomJSON `json:"rooms"`
		Cut    bool       `json:"cut"`
		Deeper bool       `json:"deeper"`
		Unread []string   `json:"unread,omitempty"`
	}
	roomJSON struct {
		ID      event.ID     `json:"id"`
		Title   string       `json:"title"`
		Type    string       `json:"type"`
		Tags    []string     `json:"tags"`
		Folders []folderJSON `json:"folders,omitempty"`
	}
	folderJSON struct {
		ID      event.ID     `json:"id"`
		Title   string       `json:"title"`
		Folders []folderJSON `json:"folders,omitempty"`
	}
)

func asRooms(all []roomList) []portalJSON {
	out := make([]portalJSON, 0, len(all))
	for _, r := range all {
		p := portalJSON{
			Portal: r.portal.Name, URL: r.portal.URL, Rooms: []roomJSON{},
			Cut: r.list.Cut, Deeper: r.list.Deeper, Unread: r.list.Unread,
		}
		if r.err != nil {
			p.Error = r.err.Error()
		}
		for _, room := range r.list.Rooms {
			p.Rooms = append(p.Rooms, roomJSON{room.ID, room.Title, room.Type, room.Tags, asFolders(room.Folders)})
		}
		out = append(out, p)
	}
	return out
}

func asFolders(folders []rooms.Folder) []folderJSON {
	var out []folderJSON
	for _, f := range folders {
		out = append(out, folderJSON{f.ID, f.Title, asFolders(f.Folders)})
	}
	return out
}
