package ship

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"paymesh.internal/pdp/atomicfile"
)

// headBytes of a file tell it from another that got its inode.
const headBytes = 512

// cursor says how far the receiver has the log.
type cursor struct {
	// Inode and Offset of the next byte to ship; no inode before the first.
	Inode  uint64 `json:"inode"`
	Offset int64  `json:"offset"`
	// Head is a digest of the file's first bytes, as many as lie before Offset and
	// headBytes at most.
	Head string `json:"head"`
	// After is the name of the last rotated file that is shipped whole.
	After string `json:"after"`
}

// readCursor returns the zero cursor if there is no file. One that cannot be read is
// an error: to begin anew would ship everything again, to go on would lose.
func readCursor(path string) (cursor, error) {
	var c cursor
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &c)
	}
	if err == nil && c.Offset < 0 {
		err = errors.New("negative offset")
	}
	if err != nil {
		return c, fmt.Errorf("%s cannot be used; without it all of the log is shipped again: %w", path, err)
	}
	return c, nil
}

func (c cursor) write(path string) error {
	content, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(content, '\n'))
}

// isOf tells whether the cursor stands in this file.
func (c cursor) isOf(file io.ReaderAt, inode uint64, size int64) bool {
	if c.Inode != inode || size < c.Offset {
		return false
	}
	head, err := headOf(file, c.Offset)
	return err == nil && head == c.Head
}

// headOf digests a file's beginning up to an offset.
func headOf(file io.ReaderAt, offset int64) (string, error) {
	digest := sha256.New()
	if _, err := io.Copy(digest, io.NewSectionReader(file, 0, min(offset, headBytes))); err != nil {
		return "", err
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}
