package replay

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
)

var isRevision = regexp.MustCompile(`^[0-9]{13}-[0-9a-f]{12}$`)

const (
	environmentFile     = "/paymesh/environment/data.json"
	maxEnvironmentBytes = 8 << 20
)

// readEnvironment is nil if the directory has nothing of that revision. It may have
// <revision>.json, or <revision>.tar.gz, the bundle itself, whose signature was looked
// at when it was put there.
func readEnvironment(directory, revision string) (map[string]any, error) {
	if directory == "" || !isRevision.MatchString(revision) {
		return nil, nil
	}
	for suffix, read := range map[string]func(io.Reader) (map[string]any, error){
		".json": decodeEnvironment, ".tar.gz": unpackEnvironment,
	} {
		file, err := os.Open(filepath.Join(directory, revision+suffix))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		content, err := read(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name(), err)
		}
		return content, nil
	}
	return nil, nil
}

func decodeEnvironment(from io.Reader) (content map[string]any, err error) {
	err = json.NewDecoder(io.LimitReader(from, maxEnvironmentBytes)).Decode(&content)
	return content, err
}

func unpackEnvironment(from io.Reader) (map[string]any, error) {
	unzipped, err := gzip.NewReader(from)
	if err != nil {
		return nil, err
	}
	for archive := tar.NewReader(unzipped); ; {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the bundle has no environment")
		}
		if err != nil {
			return nil, err
		}
		if path.Clean("/"+entry.Name) == environmentFile {
			return decodeEnvironment(archive)
		}
	}
}
