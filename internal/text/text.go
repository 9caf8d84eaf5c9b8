// Package text cuts texts, and those that arrive in pieces, at whole characters.
package text

import (
	"strings"
	"unicode/utf8"
)

// Clip returns as much of the beginning of s as most bytes hold of whole characters, without what is no UTF-8: half a
// character would make all that it is told in impossible to encode. What is cut off is not held in memory.
func Clip(s string, most int) string {
	if len(s) > most {
		s = strings.Clone(s[:most])
	}
	return strings.ToValidUTF8(s, "")
}

// Unfinished returns how many bytes at the end of p begin a character of UTF-8 whose rest is missing: 0 to 3. Bytes that
// no rest would make a character are not counted.
func Unfinished(p []byte) int {
	for n := 1; n <= min(len(p), utf8.UTFMax-1); n++ {
		if !utf8.RuneStart(p[len(p)-n]) {
			continue
		}
		if utf8.FullRune(p[len(p)-n:]) {
			return 0
		}
		return n
	}
	return 0
}
