package decisionlog

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/open-policy-agent/opa/v1/logging"
	"golang.org/x/sys/unix"
)

const (
	fileMode = 0o600
	newline  = '\n'
	// standardOutput as a path: whoever started the process collects the records.
	standardOutput = "-"
)

// file is the log: on disk, appended to and never rewritten, or the standard output,
// where a reader that is slow is waited for. Only the writer uses it.
type file struct {
	path     string
	maxBytes int64 // 0: never rotated
	sync     bool
	logger   logging.Logger
	now      func() time.Time

	handle *os.File
	info   os.FileInfo
	size   int64
	// torn: the last write ended inside a line.
	torn bool
}

func (f *file) open() error {
	if f.path == standardOutput {
		f.handle = os.Stdout
		return nil
	}
	handle, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	info, err := handle.Stat()
	if err != nil {
		return errors.Join(err, handle.Close())
	}
	torn := false
	if info.Mode().IsRegular() {
		if err := handle.Chmod(fileMode); err != nil {
			return errors.Join(err, handle.Close())
		}
		if torn, err = endsInsideLine(handle, info.Size()); err != nil {
			return errors.Join(err, handle.Close())
		}
	}
	if torn {
		// A killed process leaves this: the record was not acknowledged, so nobody
		// was answered by it.
		f.logger.Warn("Decision log %s ends inside a record; a newline is put after it.", f.path)
	}
	f.handle, f.info, f.size, f.torn = handle, info, info.Size(), torn
	return nil
}

func endsInsideLine(handle *os.File, size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	var last [1]byte
	if _, err := handle.ReadAt(last[:], size-1); err != nil {
		return false, err
	}
	return last[0] != newline, nil
}

// append writes whole lines in one write(2) and returns how many bytes of them
// are in the file. Fewer than all come with an error.
func (f *file) append(lines []byte) (int, error) {
	if err := f.follow(); err != nil {
		return 0, err
	}
	if f.torn {
		// In a write of its own: what comes back then counts the lines' bytes.
		n, err := f.handle.Write([]byte{newline})
		f.size += int64(n)
		if err != nil {
			return 0, err
		}
		f.torn = false
	}
	n, err := f.handle.Write(lines)
	f.size += int64(n)
	if n > 0 {
		f.torn = lines[n-1] != newline
	}
	if err == nil && f.sync {
		if err = unix.Fdatasync(int(f.handle.Fd())); err != nil {
			return 0, fmt.Errorf("fdatasync: %w", err)
		}
	}
	return n, err
}

// follow makes sure that the open file is the one at the path: somebody may have
// renamed it to rotate it, or removed it, and a record in a file that no longer
// has a name is lost.
func (f *file) follow() error {
	if f.handle != nil && f.path == standardOutput {
		return nil
	}
	if f.handle != nil && f.maxBytes > 0 && f.size >= f.maxBytes && f.info.Mode().IsRegular() {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	if f.handle != nil {
		info, err := os.Lstat(f.path)
		if err == nil && os.SameFile(info, f.info) {
			return nil
		}
		f.logger.Warn("Decision log %s was moved away or removed; a new one is begun.", f.path)
		if err := f.close(); err != nil {
			return err
		}
	}
	return f.open()
}

// rotate gives the full file a name with the time in it. Nothing is deleted: how
// long decisions are kept is not this program's to decide.
func (f *file) rotate() error {
	old := f.path + "." + f.now().UTC().Format("20060102T150405.000000000Z")
	if err := os.Rename(f.path, old); err != nil {
		return err
	}
	f.logger.Info("Decision log rotated to %s.", old)
	return f.close()
}

func (f *file) close() error {
	if f.handle == nil || f.path == standardOutput {
		return nil
	}
	err := f.handle.Close()
	f.handle = nil
	return err
}
