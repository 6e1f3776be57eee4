package shadow

import (
	"runtime/metrics"
	"sync"
	"time"
)

// heapInterval is how often the heap is looked at while an evaluation lasts; most
// have ended before the first time.
const heapInterval = 2 * time.Millisecond

// heapWatch looks for growth. Live decisions' garbage counts too, so a limit is
// generous.
type heapWatch struct {
	mutex    sync.Mutex
	timer    *time.Timer
	stopped  bool
	lowest   uint64
	limit    uint64
	exceeded func()
}

// watchHeap calls exceeded once the heap has grown by more than the limit, unless it
// is stopped first.
func watchHeap(limit uint64, exceeded func()) *heapWatch {
	w := &heapWatch{limit: limit, exceeded: exceeded}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.timer = time.AfterFunc(heapInterval, w.look)
	return w
}

func (w *heapWatch) look() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.stopped {
		return
	}
	now := heapBytes()
	if w.lowest == 0 || now < w.lowest { // the collector has run
		w.lowest = now
	}
	if now-w.lowest > w.limit {
		w.exceeded()
		return
	}
	w.timer.Reset(heapInterval)
}

func (w *heapWatch) stop() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.stopped = true
	w.timer.Stop()
}

func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
