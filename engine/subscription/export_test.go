package subscription

// Used is how many bytes are in flight.
func (b *Budget) Used() int64 { return b.used.Load() }
