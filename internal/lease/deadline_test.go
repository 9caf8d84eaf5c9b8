package lease

import (
	"cmp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
)

func TestDeadlines(t *testing.T) {
	request := func(o holdfast.Offset, in time.Duration, state holdfast.RequestState) *holdfast.Request {
		return &holdfast.Request{Offset: o, By: start.Add(in), State: state}
	}
	open := func(o holdfast.Offset, in time.Duration) *holdfast.Request {
		return request(o, in, holdfast.RequestOpen)
	}
	one, two := Due{"a", 1}, Due{"a", 2}
	for name, c := range map[string]struct {
		do    func(*Deadlines)
		after time.Duration
		want  []Due
	}{
		"nothing asked":   {func(*Deadlines) {}, time.Hour, nil},
		"in time":         {func(d *Deadlines) { d.See("a", open(1, time.Minute)) }, time.Minute - 1, nil},
		"on the dot":      {func(d *Deadlines) { d.See("a", open(1, time.Minute)) }, time.Minute, []Due{one}},
		"found over":      {func(d *Deadlines) { d.See("a", open(1, -time.Hour)) }, 0, []Due{one}},
		"the later first": {func(d *Deadlines) { d.See("a", open(2, time.Hour)); d.See("a", open(1, time.Minute)) }, time.Minute, []Due{one}},
		"both":            {func(d *Deadlines) { d.See("a", open(2, time.Hour)); d.See("a", open(1, time.Minute)) }, time.Hour, []Due{one, two}},
		"answered": {func(d *Deadlines) {
			d.See("a", open(1, time.Minute))
			d.See("a", request(1, time.Minute, holdfast.RequestAnswered))
		}, time.Hour, nil},
		"settled before it was seen": {func(d *Deadlines) { d.See("a", request(1, time.Minute, holdfast.RequestExpired)) }, time.Hour, nil},
		"not there":                  {func(d *Deadlines) { d.See("a", open(1, time.Minute)); d.Forget(one) }, time.Hour, nil},
		"the session was deleted":    {func(d *Deadlines) { d.See("a", open(1, time.Minute)); d.Drop("a") }, time.Hour, nil},
		"another one was":            {func(d *Deadlines) { d.See("a", open(1, time.Minute)); d.Drop("b") }, time.Hour, []Due{one}},
		"told, and not at once again": {func(d *Deadlines) { d.See("a", open(1, time.Minute)); d.Over(start.Add(time.Minute)) },
			time.Minute + again - 1, nil},
		"told, and again": {func(d *Deadlines) { d.See("a", open(1, time.Minute)); d.Over(start.Add(time.Minute)) }, time.Minute + again, []Due{one}},
		"one that is seen while another is told again": {func(d *Deadlines) {
			d.See("a", open(1, time.Minute))
			d.Over(start.Add(time.Minute))
			d.See("a", open(2, time.Minute+time.Millisecond))
		}, time.Minute + time.Millisecond, []Due{two}},
		"asked for often": {func(d *Deadlines) {
			d.See("a", open(1, time.Minute))
			d.See("a", open(2, time.Hour))
			for i := range time.Duration(60) {
				if due := d.Over(start.Add(i * time.Second)); len(due) > 0 {
					t.Errorf("after %d s %v", i, due)
				}
			}
			d.Over(start.Add(time.Minute))
			d.See("a", request(1, time.Minute, holdfast.RequestExpired))
		}, time.Hour, []Due{two}},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewDeadlines()
			c.do(d)
			got := d.Over(start.Add(c.after))
			slices.SortFunc(got, func(a, b Due) int { return cmp.Compare(a.Request, b.Request) })
			if diff := gocmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
