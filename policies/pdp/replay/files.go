package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// blockBytes is how much of a file a worker takes at a time. A line that does not end
// within it is none of the decision log's, whose records are bounded.
const blockBytes = 2 << 20

// errNotRegular is for a log that could be anything: a pipe that nobody writes to would
// be waited for, a link would have another file read.
var errNotRegular = errors.New("it is no regular file")

// block is a part of a file that begins and ends with whole lines.
type block struct {
	file   string
	offset int64
	text   []byte
	// overlong is how many bytes a line without an end in sight has; text is empty then.
	overlong int
}

// blocks reads files, "-" for the standard input, and sends them in parts.
type blocks struct {
	stdin io.Reader
	// isRegular: files are opened only if they are regular, and not through a link.
	isRegular bool
	pool      sync.Pool
	read      func(bytes int)
}

func (b *blocks) send(ctx context.Context, files []string, to chan<- *block) error {
	for _, file := range files {
		if err := b.sendFile(ctx, file, to); err != nil {
			return err
		}
	}
	return nil
}

func (b *blocks) sendFile(ctx context.Context, name string, to chan<- *block) error {
	from := b.stdin
	if name != "-" {
		file, err := b.open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		from = file
	}
	offset := int64(0)
	var rest []byte
	for {
		next := b.get()
		next.file, next.offset, next.overlong = name, offset, 0
		var err error
		if next.text, rest, err = b.part(from, append(next.text[:0], rest...), next); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", name, err)
		}
		offset += int64(len(next.text) + next.overlong)
		select {
		case to <- next:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err != nil {
			return nil
		}
	}
}

func (b *blocks) open(name string) (*os.File, error) {
	if !b.isRegular {
		return os.Open(name)
	}
	file, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", name, errNotRegular)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// part reads on from where text ends. It returns the whole lines, and what comes after
// them; io.EOF if there is no more. An overlong line is passed over and counted.
func (b *blocks) part(from io.Reader, text []byte, into *block) (whole, rest []byte, err error) {
	for {
		begin := len(text)
		text = append(text, make([]byte, max(blockBytes-begin, blockBytes/2))...)
		n, err := io.ReadFull(from, text[begin:])
		text = text[:begin+n]
		b.read(n)
		newline := bytes.IndexByte(text[begin:], '\n')
		switch isEnd := errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF); {
		case err != nil && !isEnd:
			return nil, nil, err
		case into.overlong > 0 && newline >= 0:
			into.overlong += newline + 1
			after := append([]byte(nil), text[begin+newline+1:]...)
			return text[:0], after, nil
		case into.overlong > 0 || newline < 0 && !isEnd:
			into.overlong += len(text)
			text = text[:0]
			if isEnd {
				return text, nil, io.EOF
			}
		case isEnd:
			return text, nil, io.EOF
		default:
			end := bytes.LastIndexByte(text, '\n') + 1
			return text[:end], append([]byte(nil), text[end:]...), nil
		}
	}
}

func (b *blocks) get() *block {
	if known, ok := b.pool.Get().(*block); ok {
		return known
	}
	return &block{text: make([]byte, 0, 2*blockBytes)}
}

func (b *blocks) put(used *block) { b.pool.Put(used) }
