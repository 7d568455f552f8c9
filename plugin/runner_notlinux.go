//go:build !linux

package plugin

// onlyZombies cannot be told here.
func onlyZombies(int) bool { return false }

// onNoExec cannot be told here.
func onNoExec(string) bool { return false }
