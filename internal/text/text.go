// Package text cuts texts that arrive in pieces.
package text

import "unicode/utf8"

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
