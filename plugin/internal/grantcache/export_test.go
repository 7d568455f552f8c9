package grantcache

// Applied returns the position of the last kill that was told, 0 where no stream is followed.
func (c *Cache) Applied() uint64 {
	if held := c.current.Load(); held != nil {
		return held.applied.Load()
	}
	return 0
}
