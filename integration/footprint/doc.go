// Package footprint measures the memory of host and plugin processes and checks it against their limits.
package footprint
