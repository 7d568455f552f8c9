package main

// The audit of the admin routes in a separate file.

import (
	"errors"
	"log/slog"
	"os"

	"gopkg.in/natefinch/lumberjack.v2"
)

const (
	auditMiB  = 100
	auditKept = 10
)

// openAudit opens the rotating audit file. It fails at start, not at the first change, if the file cannot be
// written.
func (s *running) openAudit(path string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New(path + " is not a regular file, which could be rotated")
	}
	rotated := &lumberjack.Logger{Filename: path, MaxSize: auditMiB, MaxBackups: auditKept}
	s.closeLast = append(s.closeLast, rotated.Close)
	s.provider.audit = slog.NewJSONHandler(rotated, nil)
	return nil
}
