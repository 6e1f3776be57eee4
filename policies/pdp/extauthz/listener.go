package extauthz

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	socketUmask  = 0o177 // leaves mode 0600
	probeTimeout = time.Second
)

// listen opens "unix://path" (relative paths and abstract "@names" too),
// "grpc://host:port" or "host:port".
func listen(ctx context.Context, addr string) (net.Listener, error) {
	scheme, rest, found := strings.Cut(addr, "://")
	if !found {
		scheme, rest = "grpc", addr
	}
	var config net.ListenConfig
	switch {
	case scheme == "grpc":
		return config.Listen(ctx, "tcp", rest)
	case scheme == "unix" && strings.HasPrefix(rest, "@"):
		return config.Listen(ctx, "unix", rest)
	case scheme == "unix" && rest != "":
		if err := removeStale(ctx, rest); err != nil {
			return nil, err
		}
		// The mask and not a chmod afterwards: between the two anybody could connect.
		// It is the process's, and for this moment can only make other files stricter.
		old := syscall.Umask(socketUmask)
		defer syscall.Umask(old)
		return config.Listen(ctx, "unix", rest)
	}
	return nil, fmt.Errorf("address %q is neither unix://path nor [grpc://]host:port", addr)
}

// removeStale removes what a killed process left. A socket that somebody still
// serves, or a file that is no socket, is left alone.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	dialer := net.Dialer{Timeout: probeTimeout}
	connection, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("%s is served by another process", path), connection.Close())
	}
	return os.Remove(path)
}
