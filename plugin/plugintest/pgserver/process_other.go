//go:build !linux

package pgserver

// Systems without a parent-death signal and /proc.

import (
	"os/exec"
	"time"
)

func (s *Server) own(*exec.Cmd) {}

// CPU is not known here.
func (s *Server) CPU() time.Duration { return 0 }

func removeLeftovers() {}
