package pending

import (
	"context"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// What a store does is done by the one that is open.

func (d *Driver) opened() (driver.Driver, error) {
	if db := d.db.Load(); db != nil {
		return *db, nil
	}
	return nil, holdfast.Errorf(holdfast.CodeUnavailable, "another process still has the store; repeat the request")
}

// on asks the store that is open.
func on[T any](d *Driver, ask func(db driver.Driver) (T, error)) (T, error) {
	db, err := d.opened()
	if err != nil {
		var none T
		return none, err
	}
	return ask(db)
}

// Apply implements driver.Driver.
func (d *Driver) Apply(ctx context.Context, s holdfast.SessionID, op driver.Op) (driver.Result, error) {
	return on(d, func(db driver.Driver) (driver.Result, error) { return db.Apply(ctx, s, op) })
}

// Info implements driver.Driver.
func (d *Driver) Info(ctx context.Context, s holdfast.SessionID) (driver.Info, error) {
	return on(d, func(db driver.Driver) (driver.Info, error) { return db.Info(ctx, s) })
}

// Read implements driver.Driver.
func (d *Driver) Read(ctx context.Context, s holdfast.SessionID, q driver.Query) (driver.Page, error) {
	return on(d, func(db driver.Driver) (driver.Page, error) { return db.Read(ctx, s, q) })
}

// Run implements driver.Driver.
func (d *Driver) Run(ctx context.Context, s holdfast.SessionID, run holdfast.Offset, after holdfast.FragmentNo) (holdfast.Entry, error) {
	return on(d, func(db driver.Driver) (holdfast.Entry, error) { return db.Run(ctx, s, run, after) })
}

// States implements driver.Driver.
func (d *Driver) States(ctx context.Context, s holdfast.SessionID) ([]holdfast.Entry, error) {
	return on(d, func(db driver.Driver) ([]holdfast.Entry, error) { return db.States(ctx, s) })
}

// Sessions implements driver.Driver.
func (d *Driver) Sessions(ctx context.Context, prefix string, after holdfast.SessionID, limit int) ([]driver.Info, error) {
	return on(d, func(db driver.Driver) ([]driver.Info, error) { return db.Sessions(ctx, prefix, after, limit) })
}

// OpenRuns implements driver.Driver.
func (d *Driver) OpenRuns(ctx context.Context, after driver.RunRef, limit int) ([]driver.OpenRun, error) {
	return on(d, func(db driver.Driver) ([]driver.OpenRun, error) { return db.OpenRuns(ctx, after, limit) })
}

// Stop implements driver.Driver.
func (d *Driver) Stop(ctx context.Context, s holdfast.SessionID, user holdfast.UserID, id string) (driver.StopInfo, error) {
	return on(d, func(db driver.Driver) (driver.StopInfo, error) { return db.Stop(ctx, s, user, id) })
}

// Request implements driver.Driver.
func (d *Driver) Request(ctx context.Context, s holdfast.SessionID, o holdfast.Offset) (holdfast.Request, error) {
	return on(d, func(db driver.Driver) (holdfast.Request, error) { return db.Request(ctx, s, o) })
}

// Waiting implements driver.Driver.
func (d *Driver) Waiting(ctx context.Context, after holdfast.SessionID, limit int) ([]driver.Info, error) {
	return on(d, func(db driver.Driver) ([]driver.Info, error) { return db.Waiting(ctx, after, limit) })
}

// Feed implements driver.Driver.
func (d *Driver) Feed(ctx context.Context, after string, limit int) ([]driver.FeedItem, error) {
	return on(d, func(db driver.Driver) ([]driver.FeedItem, error) { return db.Feed(ctx, after, limit) })
}

// FeedOf implements driver.Driver.
func (d *Driver) FeedOf(ctx context.Context, s holdfast.SessionID, after string, limit int) ([]driver.FeedItem, error) {
	return on(d, func(db driver.Driver) ([]driver.FeedItem, error) { return db.FeedOf(ctx, s, after, limit) })
}

// Consumer implements driver.Driver.
func (d *Driver) Consumer(ctx context.Context, name string) (string, error) {
	return on(d, func(db driver.Driver) (string, error) { return db.Consumer(ctx, name) })
}

// Consumers implements driver.Driver.
func (d *Driver) Consumers(ctx context.Context, prefix, after string, limit int) ([]driver.ConsumerValue, error) {
	return on(d, func(db driver.Driver) ([]driver.ConsumerValue, error) { return db.Consumers(ctx, prefix, after, limit) })
}

// TagAt implements driver.Driver.
func (d *Driver) TagAt(ctx context.Context, s holdfast.SessionID, o holdfast.Offset) (holdfast.Tag, bool, error) {
	db, err := d.opened()
	if err != nil {
		return 0, false, err
	}
	return db.TagAt(ctx, s, o)
}

// Delete implements driver.Driver.
func (d *Driver) Delete(ctx context.Context, s holdfast.SessionID) error {
	db, err := d.opened()
	if err != nil {
		return err
	}
	return db.Delete(ctx, s)
}

// TrimFeed implements driver.Driver.
func (d *Driver) TrimFeed(ctx context.Context, before time.Time) error {
	db, err := d.opened()
	if err != nil {
		return err
	}
	return db.TrimFeed(ctx, before)
}

// SetConsumer implements driver.Driver.
func (d *Driver) SetConsumer(ctx context.Context, name, value string) error {
	db, err := d.opened()
	if err != nil {
		return err
	}
	return db.SetConsumer(ctx, name, value)
}
