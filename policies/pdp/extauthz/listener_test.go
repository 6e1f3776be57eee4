package extauthz

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func socketPath(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "pdp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	return filepath.Join(directory, "s")
}

// The socket can be opened by its owner only.
func TestListenMode(t *testing.T) {
	path := socketPath(t)
	listener, err := listen(t.Context(), "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// A socket that a killed process left is replaced.
func TestListenReplacesStaleSocket(t *testing.T) {
	path := socketPath(t)
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	listener, err := listen(t.Context(), "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
}

// A socket that is served, and a file that is no socket, are left alone.
func TestListenLeavesOthersAlone(t *testing.T) {
	served := socketPath(t)
	other, err := net.Listen("unix", served)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	file := socketPath(t)
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{served, file} {
		if listener, err := listen(t.Context(), "unix://"+path); err == nil {
			t.Errorf("%s: listening on %v", path, listener.Addr())
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s is gone: %v", path, err)
		}
	}
}

// The official plugin's forms of an address are taken, others are not.
func TestListenForms(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "grpc://127.0.0.1:0", "unix://@paymesh-pdp-test"} {
		listener, err := listen(t.Context(), addr)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		listener.Close()
	}
	for _, addr := range []string{"http://127.0.0.1:0", "unix://", "nowhere"} {
		if listener, err := listen(t.Context(), addr); err == nil {
			t.Errorf("%s: listening on %v", addr, listener.Addr())
			listener.Close()
		}
	}
}
