// Package report tells OPA's plugin manager how a plugin is.
package report

import (
	"sync"

	"github.com/open-policy-agent/opa/v1/plugins"
)

// Reporter hands the last state on from a goroutine of its own: the manager's
// call waits for listeners, and whoever notices a change holds the store's lock
// or is writing the decision log.
type Reporter struct {
	mutex  sync.Mutex
	status plugins.Status
	wake   chan struct{}
	done   chan struct{}
}

// Start reports the plugin as not ready and begins to pass on changes.
func Start(manager *plugins.Manager, name string) *Reporter {
	return start(manager, name, plugins.StateNotReady)
}

// StartReady is Start for a plugin that nothing has to wait for.
func StartReady(manager *plugins.Manager, name string) *Reporter {
	return start(manager, name, plugins.StateOK)
}

func start(manager *plugins.Manager, name string, state plugins.State) *Reporter {
	wake := make(chan struct{}, 1)
	wake <- struct{}{}
	r := &Reporter{
		status: plugins.Status{State: state},
		wake:   wake,
		done:   make(chan struct{}),
	}
	go func() {
		defer close(r.done)
		for range wake {
			status := r.Status()
			manager.UpdatePluginStatus(name, &status)
		}
	}()
	return r
}

// Set reports a state; one that has not been passed on yet is replaced.
func (r *Reporter) Set(state plugins.State, message string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	next := plugins.Status{State: state, Message: message}
	if r.wake == nil || r.status == next {
		return
	}
	r.status = next
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Status is the last state that was set.
func (r *Reporter) Status() plugins.Status {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.status
}

// Stop passes on a last change and ends the goroutine. Safe to call twice.
func (r *Reporter) Stop() {
	r.mutex.Lock()
	wake := r.wake
	r.wake = nil
	r.mutex.Unlock()
	if wake != nil {
		close(wake)
	}
	<-r.done
}
