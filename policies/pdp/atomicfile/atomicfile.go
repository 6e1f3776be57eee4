// Package atomicfile replaces a file whole: after a crash it is the old or the new
// one, and whoever reads it at any moment reads one of the two.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Write gives the path this content, mode 0600. It returns once the content is on
// the disk.
func Write(path string, content []byte) error { return write(path, content, (*os.File).Sync) }

// WriteUnsynced is Write for what may be lost when the machine crashes, such as a
// figure that is written again soon.
func WriteUnsynced(path string, content []byte) error {
	return write(path, content, func(*os.File) error { return nil })
}

func write(path string, content []byte, sync func(*os.File) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = sync(file)
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
