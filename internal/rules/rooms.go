package rules

import (
	"maps"
	"slices"
)

// roomTypes names DocSpace's numbers of room types as expressions see them.
var roomTypes = map[int]string{
	1: "filling_forms",
	2: "editing",
	5: "custom",
	6: "public",
	8: "data",
	9: "ai",
}

// RoomType returns the name that expressions know one of DocSpace's numbers of room types
// by, or "" for a number this version does not know.
func RoomType(number int) string { return roomTypes[number] }

// roomTypeNames lists the types a room can have in an expression.
func roomTypeNames() []string { return slices.Sorted(maps.Values(roomTypes)) }
