package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// blockBytes is how much of a file a worker takes at a time.
const blockBytes = 2 << 20

// block is a part of a file that begins and ends with whole lines.
type block struct {
	file   string
	offset int64
	text   []byte
}

// blocks reads files, "-" for the standard input, and sends them in parts.
type blocks struct {
	stdin io.Reader
	pool  sync.Pool
	read  func(bytes int)
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
		file, err := os.Open(name)
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
		next.text = append(next.text[:0], rest...)
		read, err := fill(from, &next.text)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", name, err)
		}
		b.read(read)
		next.file, next.offset = name, offset
		rest = rest[:0]
		if err == nil { // there is more
			end := bytes.LastIndexByte(next.text, '\n') + 1
			rest = append(rest, next.text[end:]...)
			next.text = next.text[:end]
		}
		offset += int64(len(next.text))
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

// fill reads a block's worth, and more if that holds no end of a line.
func fill(from io.Reader, into *[]byte) (read int, err error) {
	for {
		begin := len(*into)
		*into = append(*into, make([]byte, max(blockBytes-begin, blockBytes/2))...)
		n, err := io.ReadFull(from, (*into)[begin:])
		*into = (*into)[:begin+n]
		read += n
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return read, io.EOF
		}
		if err != nil || bytes.IndexByte((*into)[begin:], '\n') >= 0 {
			return read, err
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
