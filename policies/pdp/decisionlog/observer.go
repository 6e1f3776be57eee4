package decisionlog

// Observer is told of each record once it is in the log, while its decision's asker
// waits: it must neither wait nor panic, and change nothing.
type Observer interface{ Observe(record *Record) }

// Tell registers the observer; there is one at most.
func (p *Plugin) Tell(observer Observer) { p.observer.Store(&observer) }
