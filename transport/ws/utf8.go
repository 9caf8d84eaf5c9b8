package ws

import "unicode/utf8"

// utf8Prefix returns how many bytes of p are whole, valid characters, and whether the few that follow may still become
// one. A message arrives in pieces that may split a character, and must be refused as soon as it cannot become valid.
func utf8Prefix(p []byte) (n int, ok bool) {
	n = len(p)
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if !utf8.RuneStart(p[len(p)-i]) {
			continue
		}
		// FullRune is true of a beginning that no continuation can save, so that Valid below refuses it.
		if !utf8.FullRune(p[len(p)-i:]) {
			n = len(p) - i
		}
		break
	}
	return n, utf8.Valid(p[:n])
}
