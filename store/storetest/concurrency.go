package storetest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func concurrencyCases() []testCase {
	return []testCase{
		{"Concurrency/OneOffsetEach", testOneOffsetEach},
		{"Concurrency/OneOfManyRepeats", testOneOfMany},
		{"Concurrency/OneProducer", testOneProducer},
		{"Concurrency/PageOfOneMoment", testOneMoment},
		{"Concurrency/DeleteAmongWriters", testDeleteAmong},
	}
}

// parallel runs fn n times at once and fails the test with their errors.
func (e *env) parallel(n int, fn func(i int) error) {
	e.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		e.Fatal(err)
	}
}

func testOneOffsetEach(e *env) {
	const writers, each = 16, 40
	var mu sync.Mutex
	seen := map[holdfast.Offset]holdfast.Tag{}
	e.parallel(writers, func(w int) error {
		last := holdfast.Offset(0)
		for i := range each {
			r, err := e.Apply(e.ctx(), s1, entries(withID(fmt.Sprintf("%d.%d", w, i))))
			if err != nil {
				return err
			}
			o := r.Entries[0].Offset
			mu.Lock()
			_, twice := seen[o]
			seen[o] = r.Entries[0].Tag
			mu.Unlock()
			if twice || o <= last {
				return fmt.Errorf("writer %d got offset %d after %d, given before: %v", w, o, last, twice)
			}
			last = o
		}
		return nil
	})
	page := e.read(s1, every())
	same(e, "head", page.Info.Head, holdfast.Offset(writers*each))
	for _, en := range page.Entries {
		same(e, "tag", en.Tag, seen[en.Offset])
	}
}

func testOneOfMany(e *env) {
	var mu sync.Mutex
	fresh := 0
	offsets := map[holdfast.Offset]bool{}
	e.parallel(32, func(int) error {
		r, err := e.Apply(e.ctx(), s1, entries(withID("same")))
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		offsets[r.Entries[0].Offset] = true
		if !r.Entries[0].Duplicate {
			fresh++
		}
		return nil
	})
	if fresh != 1 || len(offsets) != 1 || e.info(s1).Head != 1 {
		e.Fatalf("%d were written, at offsets %v", fresh, offsets)
	}
}

// testOneProducer has producers take one run over from each other; each number is written by one of them.
func testOneProducer(e *env) {
	e.open(s1, "r")
	e.parallel(8, func(w int) error {
		for range 10 {
			op := opening("r")
			op.TakeOver = true
			r, err := e.Apply(e.ctx(), s1, op)
			if err != nil {
				return err
			}
			run := r.Run
			for {
				a, err := e.Apply(e.ctx(), s1, grow(run, int64(run.Fragments), text(fmt.Sprint(w))...))
				if holdfast.CodeOf(err) == holdfast.CodeFenced {
					break
				}
				if err != nil {
					return err
				}
				if a.Repeated != 0 || a.Run.Fragments != run.Fragments+1 {
					return fmt.Errorf("two producers wrote at once: %+v", a)
				}
				if run = a.Run; run.Fragments >= 50 {
					break
				}
			}
		}
		return nil
	})
	i := e.info(s1)
	same(e, "fence", i.Open[0].Fence, holdfast.Fence(81))
	body := e.run(s1, 1, 0).Run.Body
	same(e, "chain", body.TagAt(i.Open[0].Fragments), i.Open[0].Tag)
}

// testOneMoment reads pages under writers; each page must fit its own info.
func testOneMoment(e *env) {
	run := e.open(s1, "r")
	var writers sync.WaitGroup
	done := make(chan struct{})
	errs := make([]error, 3)
	writers.Go(func() {
		for i := 0; i < 150 && errs[0] == nil; i++ {
			_, errs[0] = e.Apply(e.ctx(), s1, entries(message(`1`), state("k", `1`)))
		}
	})
	writers.Go(func() {
		for i := 0; i < 150 && errs[1] == nil; i++ {
			_, errs[1] = e.Apply(e.ctx(), s1, grow(run, int64(i), text("x")...))
		}
	})
	writers.Go(func() {
		for i := 0; i < 40 && errs[2] == nil; i++ {
			var r driver.Result
			if r, errs[2] = e.Apply(e.ctx(), s1, opening(fmt.Sprint(i))); errs[2] == nil {
				_, errs[2] = e.Apply(e.ctx(), s1, end(r.Run, holdfast.RunComplete))
			}
		}
	})
	go func() { writers.Wait(); close(done) }()
	for stop := false; !stop; {
		select {
		case <-done:
			stop = true
		default:
		}
		e.checkMoment(e.read(s1, every()))
	}
	if err := errors.Join(errs...); err != nil {
		e.Fatal(err)
	}
}

func (e *env) checkMoment(p driver.Page) {
	e.Helper()
	last := p.Entries[len(p.Entries)-1]
	if last.Offset != p.Info.Head || last.Tag != p.Info.HeadTag || int64(len(p.Entries)) != p.Info.Entries {
		e.Fatalf("info %+v does not fit a page of %d entries that ends at %d", p.Info, len(p.Entries), last.Offset)
	}
	next, open, bytes := holdfast.Offset(1), 0, int64(0)
	for _, en := range p.Entries {
		if en.First != next {
			e.Fatalf("entry %d covers from %d, want %d", en.Offset, en.First, next)
		}
		next = en.Offset + 1
		bytes += size(&en)
		if en.Run == nil || en.Run.Status != holdfast.RunOpen {
			continue
		}
		if open >= len(p.Info.Open) {
			e.Fatalf("run %d is open and not in info", en.Offset)
		}
		i := p.Info.Open[open]
		open++
		if i.Run != en.Offset || i.Fragments != en.Run.Body.Len() || i.Tag != en.Run.Body.TagAt(i.Fragments) {
			e.Fatalf("open run %+v has %d fragments in the page", i, en.Run.Body.Len())
		}
	}
	same(e, "open runs", open, len(p.Info.Open))
	same(e, "bytes", bytes, p.Info.Bytes)
}

func size(e *holdfast.Entry) int64 {
	n := len(e.ID) + len(e.From.User) + len(e.From.Client) + len(e.Key) + len(e.Data)
	if e.Run != nil {
		n += len(e.Run.End)
		for _, f := range e.Run.Body.Fragments() {
			n += len(f.Text) + len(f.Event)
		}
	}
	return int64(n)
}

// testDeleteAmong deletes a session while others write to it: what stands in the end is one life, whole.
func testDeleteAmong(e *env) {
	e.parallel(8, func(w int) error {
		for i := range 30 {
			if w == 0 {
				if err := e.Delete(e.ctx(), s1); err != nil {
					return err
				}
				continue
			}
			r, err := e.Apply(e.ctx(), s1, opening(fmt.Sprintf("%d.%d", w, i)))
			if err != nil {
				return err
			}
			_, err = e.Apply(e.ctx(), s1, grow(r.Run, 0, text("x")...))
			switch holdfast.CodeOf(err) {
			case "", holdfast.CodeNotFound:
			case holdfast.CodeGap, holdfast.CodeFenced, holdfast.CodeEnded:
			default:
				return err
			}
			_, err = e.Apply(e.ctx(), s1, entries(state("k", `1`), withID("m")))
			if err != nil {
				return err
			}
		}
		return nil
	})
	e.add(s1, message(`1`))
	p := e.read(s1, every())
	e.checkMoment(p)
}
