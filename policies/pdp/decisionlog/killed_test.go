package decisionlog

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/logging"
)

const (
	victimVariable = "PAYMESH_TEST_VICTIM_LOG"
	kills          = 10
)

// TestMain is also the program that TestKilled kills.
func TestMain(m *testing.M) {
	if path := os.Getenv(victimVariable); path != "" {
		recordForEver(path)
	}
	os.Exit(m.Run())
}

// recordForEver says the id of each record, in a write of its own, once it may be
// answered.
func recordForEver(path string) {
	log := &file{path: path, maxBytes: 256 << 10, logger: logging.NewNoOpLogger(), now: time.Now}
	if err := log.open(); err != nil {
		panic(err)
	}
	w := startWriter(log, defaultMaxPending, func(error) {})
	for asker := range 16 {
		go func() {
			for n := 0; ; n++ {
				record := &Record{DecisionID: fmt.Sprintf("%d-%d-%d", os.Getpid(), asker, n), Reason: strings.Repeat("r", n%4096)}
				if err := w.write(context.Background(), record, defaultMaxRecordBytes); err != nil {
					panic(err)
				}
				if _, err := os.Stdout.WriteString(record.DecisionID + "\n"); err != nil {
					panic(err)
				}
			}
		}()
	}
	select {}
}

// Killed at any moment, the log has every record that was answered, once, and at most
// one that is cut for each kill; rotated files count.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "decisions.jsonl")
	var answered []string
	for range kills {
		answered = append(answered, killed(t, path)...)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	recorded, cut := map[string]int{}, 0
	for _, name := range files {
		for line := range strings.Lines(content(t, name)) {
			var record struct {
				ID string `json:"decision_id"`
			}
			if json.Unmarshal([]byte(line), &record) != nil {
				cut++
				continue
			}
			recorded[record.ID]++
		}
	}
	for _, id := range answered {
		if recorded[id] != 1 {
			t.Errorf("%s was answered and is recorded %d times", id, recorded[id])
		}
	}
	if cut > kills {
		t.Errorf("%d records are cut by %d kills", cut, kills)
	}
	t.Logf("%d answered, %d recorded in %d files, %d cut", len(answered), len(recorded), len(files), cut)
}

// killed runs the victim for a moment and returns what it had answered.
func killed(t *testing.T, path string) (answered []string) {
	t.Helper()
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), victimVariable+"="+path)
	output, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() { _ = victim.Process.Kill() })
	defer kill()
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if answered = append(answered, lines.Text()); len(answered) == 1 {
			time.AfterFunc(time.Duration(rand.Int64N(int64(50*time.Millisecond))), kill)
		}
	}
	_ = victim.Wait() // it was killed
	if len(answered) == 0 {
		t.Fatal("the victim answered nothing")
	}
	return answered
}
