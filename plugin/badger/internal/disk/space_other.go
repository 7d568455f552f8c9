//go:build !linux && !darwin

package disk

// What the system says of a disk and of the limits of this process: nothing.

import (
	"errors"
	"math"
	"os"
)

func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }

func FreeInodes(string) (uint64, error) { return 0, errors.ErrUnsupported }

func fileSizeLimit() uint64 { return math.MaxUint64 }

func openFilesLimit() uint64 { return math.MaxUint64 }

func onDiskSize(info os.FileInfo) int64 { return info.Size() }
