//go:build !linux

package plugin

// onlyZombies returns false: this system does not report it.
func onlyZombies(int) bool { return false }

// onNoExec returns false: this system does not report it.
func onNoExec(string) bool { return false }
