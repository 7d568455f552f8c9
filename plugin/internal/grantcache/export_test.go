package grantcache

// Applied returns the position of the last applied kill, or 0 if no stream is followed.
func (c *Cache) Applied() uint64 {
	if held := c.current.Load(); held != nil {
		return held.applied.Load()
	}
	return 0
}
