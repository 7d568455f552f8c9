//go:build !linux

package plugin

// onlyZombies returns false: this system does not report it.
func onlyZombies(int) bool { return false }

// conditionOf returns what is known: this system does not report more.
func conditionOf(int) string { return "process state unknown" }

// onNoExec returns false: this system does not report it.
func onNoExec(string) bool { return false }
