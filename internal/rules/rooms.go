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

// RoomTypes lists the types a room can have in an expression.
func RoomTypes() []string { return slices.Sorted(maps.Values(roomTypes)) }

// RoomTypeNumber returns DocSpace's number of a type of room, or 0 for a name it has not.
func RoomTypeNumber(name string) int {
	for number, known := range roomTypes {
		if known == name {
			return number
		}
	}
	return 0
}
