package pebble

// OpenExisting is [Open] for tools: it does not make a store where there is none, which is [holdfast.CodeNotFound].
func OpenExisting(o Options) (*Driver, error) {
	if err := exists(o.Dir); err != nil {
		return nil, err
	}
	return Open(o)
}
