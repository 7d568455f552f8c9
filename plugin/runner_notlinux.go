//go:build !linux

package plugin

// onlyZombies cannot be determined here.
func onlyZombies(int) bool { return false }

// onNoExec cannot be determined here.
func onNoExec(string) bool { return false }
