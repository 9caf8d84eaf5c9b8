package driver

// Tell puts events into the feed that are not in the log: what passes, such as who is there. The session is neither made nor changed by
// it; if it is not there, the items have no epoch. Readers and watchers are not told.
type Tell struct {
	// Entries have Kind event, no ID and no Key. In the feed their offset is 0. Feed is taken as set.
	Entries []NewEntry
	// Consumers are set in the same atomic step, as by [Driver.SetConsumer]: what whoever tells must not forget of what was told.
	Consumers []ConsumerValue
}

func (Tell) op() {}
