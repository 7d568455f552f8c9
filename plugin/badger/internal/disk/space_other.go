//go:build !linux && !darwin

package disk

// Free space and limits on systems that do not report them.

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
