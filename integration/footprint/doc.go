// Package footprint measures what host and plugin take of memory as processes, and holds them to the limits
// that they are given.
package footprint
