package presence

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// story runs commands, each at a second of its own choice, and returns what the others were told.
type story struct {
	t    *testing.T
	room Room
	used map[holdfast.ConnID]time.Time
	now  time.Time
	out  []string
}

func newStory(t *testing.T) *story {
	return &story{t: t, used: map[holdfast.ConnID]time.Time{}, now: start}
}

func sender(name string) holdfast.Sender {
	user, client, _ := strings.Cut(name, "/")
	return holdfast.Sender{User: holdfast.UserID(user), Client: holdfast.ClientID(client)}
}

// until goes on to a second, looking once a second as the shell does.
func (s *story) until(second int) {
	for to := start.Add(time.Duration(second) * time.Second); s.now.Before(to); {
		s.now = s.now.Add(time.Second)
		s.told(s.room.Tick(s.now, func(c holdfast.ConnID) time.Time { return s.used[c] }))
	}
}

func (s *story) enters(who string, conn holdfast.ConnID, hidden bool) {
	s.used[conn] = s.now
	s.told(s.room.Enter(Here{Who: sender(who), Conn: conn, Hidden: hidden}, s.now))
}

func (s *story) told(c Change) {
	at := int(s.now.Sub(start) / time.Second)
	for _, m := range c.Members {
		state := "here"
		if m.Away {
			state = "away"
		}
		if m.Read+m.Got > 0 {
			state += fmt.Sprintf(" %s %d/%d", m.Epoch, m.Read, m.Got)
		}
		s.out = append(s.out, fmt.Sprintf("%d %s/%s %s", at, m.Who.User, m.Who.Client, state))
	}
	for _, who := range c.Left {
		s.out = append(s.out, fmt.Sprintf("%d %s/%s left", at, who.User, who.Client))
	}
}

func (s *story) want(lines ...string) {
	s.t.Helper()
	if diff := cmp.Diff(lines, s.out); diff != "" {
		s.t.Error(diff)
	}
}

func TestPresence(t *testing.T) {
	for name, tell := range map[string]func(*story) []string{
		"comes and is lost": func(s *story) []string {
			s.enters("anna/a", "x1", false)
			s.until(10)
			s.told(s.room.Exit(sender("anna/a"), "x1", Lost, s.now))
			s.until(40)
			return []string{"0 anna/a here", "25 anna/a left"}
		},
		"is back within the grace": func(s *story) []string {
			s.enters("anna/a", "x1", false)
			for at := 10; at < 200; at += 20 {
				s.until(at)
				s.told(s.room.Exit(sender("anna/a"), "x1", Lost, s.now))
				s.until(at + 14)
				s.enters("anna/a", "x1", false)
			}
			return []string{"0 anna/a here"}
		},
		"is reloaded": func(s *story) []string {
			s.enters("anna/a", "x1", false)
			s.until(5)
			s.told(s.room.Exit(sender("anna/a"), "x1", Goodbye, s.now))
			s.until(6)
			s.enters("anna/a", "x2", false)
			s.until(30)
			s.told(s.room.Exit(sender("anna/a"), "x2", Goodbye, s.now))
			s.until(40)
			return []string{"0 anna/a here", "32 anna/a left"}
		},
		"its ghost goes after it has come": func(s *story) []string {
			s.enters("anna/a", "x1", false)
			s.enters("anna/a", "x2", false)
			s.told(s.room.Exit(sender("anna/a"), "x1", Lost, s.now))
			s.until(30)
			return []string{"0 anna/a here"}
		},
		"nobody looks": func(s *story) []string {
			s.enters("anna/a", "x1", false)
			s.until(3)
			s.told(s.room.Look(sender("anna/a"), "x1", true, s.now))
			s.told(s.room.Look(sender("anna/a"), "x1", true, s.now))
			s.until(9)
			s.told(s.room.Look(sender("anna/a"), "x1", false, s.now))
			s.until(12)
			return []string{"0 anna/a here", "3 anna/a away", "9 anna/a here"}
		},
		"is silent for a minute, and then is not": func(s *story) []string {
			s.enters("anna/a", "x1", false)
			s.until(90)
			s.used["x1"] = s.now
			s.until(92)
			return []string{"0 anna/a here", "60 anna/a away", "91 anna/a here"}
		},
		"is parked": func(s *story) []string {
			s.enters("anna/a", "x1", false)
			s.until(1)
			s.told(s.room.Exit(sender("anna/a"), "x1", Parked, s.now))
			s.until(20)
			return []string{"0 anna/a here", "1 anna/a away", "16 anna/a left"}
		},
		"two devices of one user": func(s *story) []string {
			s.enters("anna/a", "x1", false)
			s.enters("anna/b", "x2", true)
			s.told(s.room.Exit(sender("anna/a"), "x1", Goodbye, s.now))
			s.until(3)
			return []string{"0 anna/a here", "0 anna/b away", "2 anna/a left"}
		},
		"positions never move back, but with their epoch": func(s *story) []string {
			s.enters("anna/a", "x1", false)
			for _, p := range []Position{{"e1", 5, 7}, {"e1", 4, 9}, {"e1", 3, 3}, {"e1", 12, 0}, {"e2", 1, 1}} {
				s.told(s.room.Read(sender("anna/a"), p))
			}
			s.told(s.room.Read(sender("ben/b"), Position{"e2", 1, 1}))
			return []string{"0 anna/a here", "0 anna/a here e1 5/7", "0 anna/a here e1 5/9", "0 anna/a here e1 12/12", "0 anna/a here e2 1/1"}
		},
		"positions outlast their member": func(s *story) []string {
			s.enters("anna/a", "x1", false)
			s.told(s.room.Read(sender("anna/a"), Position{"e1", 5, 7}))
			s.told(s.room.Exit(sender("anna/a"), "x1", Goodbye, s.now))
			s.until(10)
			s.enters("anna/a", "x2", false)
			return []string{"0 anna/a here", "0 anna/a here e1 5/7", "2 anna/a left", "10 anna/a here e1 5/7"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.want(tell(s)...)
		})
	}
}

// TestThirtyTimesInTheBackground: a page that is put into the background for 8 s, 30 times in 10 minutes, and whose browser closes
// its socket each time, has never left for the others.
func TestThirtyTimesInTheBackground(t *testing.T) {
	for _, closes := range []bool{false, true} {
		s := newStory(t)
		s.enters("anna/a", "x0", false)
		for i := range 30 {
			s.until(20 * i)
			conn := holdfast.ConnID(fmt.Sprint("x", i))
			s.told(s.room.Look(sender("anna/a"), conn, true, s.now))
			if closes {
				s.told(s.room.Exit(sender("anna/a"), conn, Departure(i%2*2), s.now)) // lost, or parked
			}
			s.until(20*i + 8)
			s.enters("anna/a", holdfast.ConnID(fmt.Sprint("x", i+1)), false)
		}
		joins, leaves := 0, 0
		known := map[string]bool{}
		for _, line := range s.out {
			words := strings.Fields(line)
			if words[2] == "left" {
				leaves++
				delete(known, words[1])
			} else if !known[words[1]] {
				joins++
				known[words[1]] = true
			}
		}
		if joins != 1 || leaves != 0 {
			t.Errorf("%d joins and %d leaves: %v", joins, leaves, s.out)
		}
	}
}

// Of more who left than are kept, the last ones are: they find their positions again.
func TestPositionsOfThoseWhoLeft(t *testing.T) {
	var r Room
	who := func(i int) holdfast.Sender { return sender(fmt.Sprintf("u%d/c", i)) }
	enter := func(i int) Position {
		r.Enter(Here{Who: who(i), Conn: "x"}, start)
		return r.members[who(i)].Position
	}
	const more = 3
	for i := range Kept + more {
		enter(i)
		r.Read(who(i), Position{"e", holdfast.Offset(i + 1), 0})
		r.Exit(who(i), "x", Goodbye, start)
		r.Tick(start.Add(Grace), func(holdfast.ConnID) time.Time { return start })
	}
	for i := range Kept + more {
		want := Position{"e", holdfast.Offset(i + 1), holdfast.Offset(i + 1)}
		if i < more {
			want = Position{}
		}
		if got := enter(i); got != want {
			t.Errorf("u%d is back, and had read %v, not %v", i, got, want)
		}
	}
}

// TestModel does anything in any order: who follows the changes knows the members.
func TestModel(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		var r Room
		seen := map[holdfast.Sender]Member{}
		now, conns := start, 0
		conn := map[holdfast.Sender]holdfast.ConnID{}
		crowd := 6
		if seed == 0 {
			crowd = Most + 20
		}
		for range 2000 {
			now = now.Add(time.Duration(rnd.IntN(3)) * time.Second)
			who := sender(fmt.Sprintf("u%d/c", rnd.IntN(crowd)))
			var c Change
			switch rnd.IntN(6) {
			case 0, 1:
				conns++
				conn[who] = holdfast.ConnID(fmt.Sprint("x", conns))
				c = r.Enter(Here{Who: who, Conn: conn[who], Hidden: rnd.IntN(2) == 0}, now)
			case 2:
				c = r.Exit(who, conn[who], Departure(rnd.IntN(3)), now)
			case 3:
				c = r.Look(who, conn[who], rnd.IntN(2) == 0, now)
			case 4:
				c = r.Read(who, Position{"e", holdfast.Offset(rnd.IntN(100)), holdfast.Offset(rnd.IntN(100))})
			default:
				c = r.Tick(now, func(holdfast.ConnID) time.Time { return now.Add(-time.Duration(rnd.IntN(90)) * time.Second) })
			}
			for _, gone := range c.Left {
				if _, known := seen[gone]; !known {
					t.Fatalf("%v left, and was never there", gone)
				}
				delete(seen, gone)
			}
			for _, m := range c.Members {
				if before, known := seen[m.Who]; known && (m.Read < before.Read || m.Got < before.Got) {
					t.Fatalf("%v moved back from %v to %v", m.Who, before.Position, m.Position)
				}
				seen[m.Who] = m
			}
			all := r.Members()
			if len(all) != len(seen) || len(all) > Most {
				t.Fatalf("there are %d, and those who watch know of %d", len(all), len(seen))
			}
			for _, m := range all {
				if seen[m.Who] != m {
					t.Fatalf("%v is %+v, and is known as %+v", m.Who, m, seen[m.Who])
				}
			}
		}
	}
}
