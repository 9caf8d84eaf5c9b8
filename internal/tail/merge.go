package tail

import (
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// stretch is one frame in the making: an item, and the texts that are joined to it.
type stretch struct {
	first, last *item
	// texts is empty where nothing was joined; size is how many bytes of text there are.
	texts [][]byte
	size  uint32
	m     holdfast.FragmentNo
}

// merged returns the frames of items, about max bytes of them, and how many items went into them. The texts of one part of a
// run become one frame, also where other runs' items stand between them: ten answers that are written at a time would else
// cost a slow line a frame for each word, which it has no room for. Within a run the order stays, and nothing moves behind
// what it stood before; who has all the frames is where the items end.
func (r *recent) merged(s holdfast.SessionID, items []item, max int) (frames [][]byte, n int) {
	stretches := make([]stretch, 0, 16)
	// growing has the stretch that more of a run may be joined to.
	growing := make(map[holdfast.Offset]int)
	for size := 0; n < len(items) && size < max; n++ {
		i := &items[n]
		if i.kind != fragItem || i.part == noPart {
			delete(growing, i.at)
			stretches = append(stretches, stretch{first: i, last: i})
			size += int(i.size)
			continue
		}
		text := i.size - i.text
		if g, ok := growing[i.at]; ok && stretches[g].first.part == i.part && stretches[g].size+text <= wire.MaxPiece {
			r.extend(&stretches[g], i)
			size += int(text)
			continue
		}
		growing[i.at] = len(stretches)
		stretches = append(stretches, stretch{first: i, last: i, size: text, m: holdfast.FragmentNo(i.m)})
		size += int(i.size)
	}
	frames = make([][]byte, len(stretches))
	for k := range stretches {
		frames[k] = r.encode(s, &stretches[k])
	}
	return frames, n
}

func (r *recent) extend(s *stretch, i *item) {
	if s.texts == nil {
		s.texts = append(make([][]byte, 0, 8), r.textOf(s.first))
	}
	s.texts = append(s.texts, r.textOf(i))
	s.last, s.size, s.m = i, s.size+i.size-i.text, s.m+holdfast.FragmentNo(i.m)
}

// textOf is what JSON has between the quotes.
func (r *recent) textOf(i *item) []byte { return r.frame(i)[i.text : i.size-2] }

func (r *recent) encode(s holdfast.SessionID, g *stretch) []byte {
	if g.texts == nil {
		return r.frame(g.first)
	}
	f := wire.FragFrame{
		Session: s, Run: g.last.at, N: g.last.n, M: g.m, Tag: g.last.runTag, Fragment: holdfast.Fragment{Part: r.parts[g.last.part]},
	}
	return wire.AppendJoined(nil, &f, g.texts)
}
