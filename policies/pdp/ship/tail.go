package ship

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// lines are whole lines of the log, and where the cursor stands once they are
// shipped.
type lines struct {
	records []record
	// cut is how many lines were no record: a killed process leaves such.
	cut int64
	// bytes of the log that they are, 0 if there is nothing new.
	bytes int
	next  cursor
	// full: there is no use in waiting for more.
	full bool
	// skipping: they end inside a line that is too long.
	skipping bool
}

// longestLine that is shipped; a longer one is no record of ours.
const longestLine = 1 << 20

// tail reads the log through its rotations. Only the shipper uses it.
type tail struct {
	path     string
	maxBytes int // of a batch; a single line may be longer
	cursor   cursor
	file     *os.File
	buffer   []byte // as large as a batch, or as longestLine once there was need
	skipping bool
	// left is the file that was seen to be moved away at the end of it; it is done
	// with when it still is at the next look.
	left   uint64
	passed passed
}

// passed over: lines that are no records, and files that were gone, or cut off,
// before they were shipped whole.
type passed struct{ cut, gone int64 }

// read returns the whole lines from the cursor on, none if there is nothing new.
// They are good until the next call.
func (t *tail) read(maxRecords int) (lines, error) {
	if err := t.open(); err != nil || t.file == nil {
		return lines{}, err
	}
	if t.buffer == nil {
		t.buffer = make([]byte, t.maxBytes)
	}
	n, err := t.file.ReadAt(t.buffer, t.cursor.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return lines{}, err
	}
	found := t.split(t.buffer[:n], maxRecords)
	if found.bytes == 0 && n == len(t.buffer) {
		t.buffer = make([]byte, longestLine)
		return t.read(maxRecords)
	}
	if found.bytes == 0 {
		return lines{}, t.leave(n > 0)
	}
	t.left = 0
	found.next = t.cursor
	found.next.Offset += int64(found.bytes)
	found.next.Head, err = headOf(t.file, found.next.Offset)
	return found, err
}

// split takes whole lines, and what is there of one that is too long.
func (t *tail) split(text []byte, maxRecords int) lines {
	found := lines{skipping: t.skipping}
	for len(found.records) < maxRecords {
		end := bytes.IndexByte(text[found.bytes:], '\n')
		if end < 0 || found.bytes > 0 && found.bytes+end >= t.maxBytes {
			break
		}
		line := text[found.bytes : found.bytes+end]
		found.bytes += end + 1
		if found.skipping { // the end of it
			found.skipping = false
		} else if r, ok := parse(line); ok {
			found.records = append(found.records, r)
		} else if len(line) > 0 {
			found.cut++
			if r, ok := parseBehind(line); ok {
				found.records = append(found.records, r)
			}
		}
	}
	if found.bytes == 0 && len(text) >= longestLine {
		if !found.skipping {
			found.cut++
		}
		found.skipping, found.bytes = true, len(text)
	}
	found.full = len(found.records) == maxRecords || len(text) >= t.maxBytes
	return found
}

// advance is called when lines are shipped.
func (t *tail) advance(over lines) {
	t.cursor, t.skipping = over.next, over.skipping
	t.passed.cut += over.cut
}

// open makes sure that the cursor's file is open, or the one after it if that is
// gone.
func (t *tail) open() error {
	if t.file != nil {
		info, err := t.file.Stat()
		if err != nil || info.Size() >= t.cursor.Offset {
			return err
		}
		// Somebody has cut the file off.
		t.passed.gone++
		t.cursor.Offset = 0
		t.cursor.Head, err = headOf(t.file, 0)
		return err
	}
	names, err := t.names()
	if err != nil {
		return err
	}
	var first *os.File
	for _, name := range names {
		file, inode, size, err := open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return errors.Join(err, closeAll(first))
		}
		if t.cursor.isOf(file, inode, size) {
			t.file = file
			return closeAll(first)
		}
		if first == nil {
			first = file
		} else if err := file.Close(); err != nil {
			return errors.Join(err, closeAll(first))
		}
	}
	if first == nil {
		return nil
	}
	if t.cursor.Inode != 0 {
		t.passed.gone++
	}
	return t.begin(first)
}

func (t *tail) begin(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	t.file, t.skipping, t.left = file, false, 0
	t.cursor.Inode, t.cursor.Offset = inodeOf(info), 0
	t.cursor.Head, err = headOf(file, 0)
	return err
}

// names of the files that may hold what is not shipped, oldest first.
func (t *tail) names() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(t.path))
	if err != nil {
		return nil, err
	}
	return append(rotatedSince(t.cursor.After, t.path, entries), t.path), nil
}

// leave goes on to the next file when this one has ended. The log's writer looks
// where its file is before it writes, so a record may still come just after the file
// was moved: it is looked at twice.
func (t *tail) leave(inLine bool) error {
	if info, err := os.Lstat(t.path); err == nil && inodeOf(info) == t.cursor.Inode {
		return nil // it is the live one
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if t.left != t.cursor.Inode {
		t.left = t.cursor.Inode
		return nil
	}
	names, err := t.names()
	if err != nil {
		return err
	}
	next := slices.IndexFunc(names, func(name string) bool {
		info, err := os.Lstat(name)
		return err == nil && inodeOf(info) == t.cursor.Inode
	})
	file, _, _, err := open(names[next+1])
	if errors.Is(err, os.ErrNotExist) {
		return nil // begun by the next decision
	}
	if err != nil {
		return err
	}
	if err := t.close(); err != nil {
		return errors.Join(err, file.Close())
	}
	if inLine {
		t.passed.cut++
	}
	if next >= 0 {
		t.cursor.After = filepath.Base(names[next])
	}
	return t.begin(file)
}

// behind is how many bytes the receiver does not have.
func (t *tail) behind() int64 {
	names, err := t.names()
	if err != nil {
		return 0
	}
	var total int64
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			total += info.Size()
			if inodeOf(info) == t.cursor.Inode {
				total -= t.cursor.Offset
			}
		}
	}
	return total
}

func (t *tail) close() error {
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	return err
}

func open(name string) (file *os.File, inode uint64, size int64, err error) {
	file, err = os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, 0, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, 0, errors.Join(err, file.Close())
	}
	return file, inodeOf(info), info.Size(), nil
}

func inodeOf(info os.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}

func closeAll(file *os.File) error {
	if file == nil {
		return nil
	}
	return file.Close()
}
