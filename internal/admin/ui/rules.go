package ui

import (
	"net/http"
	"strconv"
	"strings"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

type rulesView struct {
	List  []ruleView
	Map   *flowMap // nil when there is nothing to draw
	Total int
	From  int // the number of the first one shown
	Next  int // of the first one on the next page; 0 on the last
}

type ruleView struct {
	rules.Info
	Sources      []end
	Destinations []end
	More         int // routes that are not shown
	Hits         store.RuleHits
	Pause        pauseForm
}

// end is one end of a route: a room, a folder, or every room that fits.
type end struct {
	Portal string
	ID     event.ID
	Name   string // what people call it; empty while it is not known
	What   string // "room", "folder", "rooms tagged", "rooms titled"
}

// Text is what stands for it in a line.
func (e end) Text() string {
	switch {
	case e.Name != "":
		return e.Name
	case e.ID == "":
		return e.What
	}
	return e.What + " " + string(e.ID)
}

// rulesPerPage is how many rules are on a page, and on its map.
const rulesPerPage = 100

// shownRoutes is how many routes of a rule are spelt out.
const shownRoutes = 6

func (u *UI) rules(w http.ResponseWriter, r *http.Request) error {
	pulse := u.beat(r.Context())
	infos := u.o.Rules().Table.Rules()
	v := rulesView{Total: len(infos), From: 1}
	if from := r.FormValue("from"); from != "" {
		var err error
		if v.From, err = strconv.Atoi(from); err != nil || v.From < 1 {
			return statusError{http.StatusBadRequest, "The address holds no valid place in the list. Begin with the first."}
		}
	}
	infos = infos[min(v.From-1, len(infos)):]
	if len(infos) > rulesPerPage {
		infos, v.Next = infos[:rulesPerPage], v.From+rulesPerPage
	}
	hits, err := u.o.Store.Hits(r.Context())
	if err != nil {
		return err
	}
	pauses, err := u.o.Store.Pauses(r.Context())
	if err != nil {
		return err
	}
	v.Map = u.drawFlows(infos)
	for _, info := range infos {
		rule := ruleView{Info: info, Hits: hits[info.Name], Pause: newPauseForm(pauses, store.PauseRule, info.Name, author(r))}
		for i := range info.Routes {
			if i == shownRoutes {
				rule.More = len(info.Routes) - shownRoutes
				break
			}
			rule.Sources = appendNew(rule.Sources, u.source(info.Portals[0], &info.Routes[i]))
			rule.Destinations = appendNew(rule.Destinations, u.destination(info.Portals[0], &info.Routes[i]))
		}
		v.List = append(v.List, rule)
	}
	return u.render(w, r, http.StatusOK, "rules", view{Title: "Rules", Nav: "/rules", Live: true, Pulse: pulse, Body: v})
}

func appendNew(list []end, e end) []end {
	for _, known := range list {
		if known == e {
			return list
		}
	}
	return append(list, e)
}

func (u *UI) source(portal string, route *rules.Route) end {
	switch route.SourceKind {
	case rules.TagSource:
		return end{Portal: portal, What: "rooms tagged", Name: "rooms tagged " + route.Pattern}
	case rules.TitleSource:
		return end{Portal: portal, What: "rooms titled", Name: "rooms titled " + route.Pattern}
	}
	what := string(route.SourceKind)
	if what == "" {
		what = "folder"
	}
	return end{Portal: portal, ID: route.Source, What: what, Name: u.o.Names.Of(portal, route.Source)}
}

func (u *UI) destination(portal string, route *rules.Route) end {
	return end{Portal: portal, ID: route.Destination, What: "folder", Name: u.o.Names.Of(portal, route.Destination)}
}

// flowMap is a drawing of the ways between rooms, from the left to the right.
type flowMap struct {
	Width, Height int
	Left, Right   []mapNode
	Edges         []mapEdge
	More          int // routes that are not drawn
	Label         string
}

type mapNode struct {
	X, Y, Width, Height int
	TextX, TextY        int
	Text, Full, Sub     string
}

type mapEdge struct {
	Path          string
	Rule          string
	Label         string
	LabelX        int
	LabelY        int
	Move, Dimmed  bool
	From, To      string
	sourceY, endY int
}

const (
	mostEdges  = 40
	mapWidth   = 900
	nodeWidth  = 290
	nodeHeight = 36
	nodeGap    = 12
	nodeText   = 36 // characters that fit in a node
)

// drawFlows places sources on the left and destinations on the right, in the order in which the
// rules name them, and joins them by curves.
func (u *UI) drawFlows(infos []rules.Info) *flowMap {
	m := &flowMap{Width: mapWidth}
	left, right := map[end]int{}, map[end]int{}
	routes := 0
	for _, info := range infos {
		for i := range info.Routes {
			if routes++; len(m.Edges) >= mostEdges {
				m.More++
				continue
			}
			from, to := u.source(info.Portals[0], &info.Routes[i]), u.destination(info.Portals[0], &info.Routes[i])
			y1 := m.place(&m.Left, left, from, 0)
			y2 := m.place(&m.Right, right, to, mapWidth-nodeWidth)
			m.Edges = append(m.Edges, mapEdge{
				Rule: info.Name, Label: cut(info.Name, 24), Move: info.Action == event.Move, Dimmed: info.Disabled,
				From: from.Text(), To: to.Text(), sourceY: y1, endY: y2,
			})
		}
	}
	if len(m.Edges) == 0 {
		return nil
	}
	m.Height = max(len(m.Left), len(m.Right))*(nodeHeight+nodeGap) + nodeGap
	// The shorter column stands in the middle of the longer one.
	shift := func(nodes []mapNode) int { return (m.Height - len(nodes)*(nodeHeight+nodeGap) - nodeGap) / 2 }
	shiftLeft, shiftRight := shift(m.Left), shift(m.Right)
	for i := range m.Left {
		m.Left[i].Y, m.Left[i].TextY = m.Left[i].Y+shiftLeft, m.Left[i].TextY+shiftLeft
	}
	for i := range m.Right {
		m.Right[i].Y, m.Right[i].TextY = m.Right[i].Y+shiftRight, m.Right[i].TextY+shiftRight
	}
	from, to := map[int]int{}, map[int]int{}
	for _, e := range m.Edges {
		from[e.sourceY]++
		to[e.endY]++
	}
	var told []string
	for i := range m.Edges {
		e := &m.Edges[i]
		e.draw(e.sourceY+shiftLeft, e.endY+shiftRight, labelAt(from[e.sourceY], to[e.endY], i))
		if i < 10 {
			told = append(told, e.Rule+": "+e.From+" to "+e.To)
		}
	}
	m.Label = "Map of the flows between rooms. " + strings.Join(told, "; ")
	return m
}

// labelAt is how far along edge i its label stands: at the end that it has for itself, so that the
// labels of edges that run together stay apart.
func labelAt(from, to, i int) float64 {
	switch {
	case from > 1 && to == 1:
		return 0.75
	case from == 1 && to > 1:
		return 0.25
	case from > 1:
		return []float64{0.34, 0.5, 0.66}[i%3]
	}
	return 0.5
}

// place finds or makes the node of an end and returns the height of its middle.
func (m *flowMap) place(nodes *[]mapNode, known map[end]int, e end, x int) int {
	i, ok := known[e]
	if !ok {
		i = len(*nodes)
		known[e] = i
		y := nodeGap + i*(nodeHeight+nodeGap)
		n := mapNode{
			X: x, Y: y, Width: nodeWidth, Height: nodeHeight, TextX: x + 12, TextY: y + nodeHeight/2 + 5,
			Text: cut(e.Text(), nodeText), Full: e.Text(),
		}
		if e.Name != "" && e.ID != "" {
			n.Sub = string(e.ID)
			n.Text = cut(e.Text(), nodeText-len(n.Sub)-1)
		}
		*nodes = append(*nodes, n)
	}
	return (*nodes)[i].Y + nodeHeight/2
}

func cut(s string, most int) string {
	r := []rune(s)
	if len(r) <= max(most, 1) {
		return s
	}
	return string(r[:max(most, 1)-1]) + "…"
}
