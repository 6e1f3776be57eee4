package mutate

import (
	"context"
	"sync"
)

// Progress is told how many of the mutants are done.
type Progress func(done, all int)

// Run judges mutants and answers in their order.
func Run(ctx context.Context, j *judge, mutants []Mutant, workers int, progress Progress) ([]Verdict, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	verdicts := make([]Verdict, len(mutants))
	indices := make(chan int)
	var (
		group sync.WaitGroup
		lock  sync.Mutex
		done  int
	)
	for range workers {
		group.Go(func() {
			for i := range indices {
				verdict, err := j.judge(ctx, mutants[i])
				if err != nil {
					cancel(err)
					return
				}
				verdicts[i] = verdict
				lock.Lock()
				done++
				progress(done, len(mutants))
				lock.Unlock()
			}
		})
	}
	for i := range mutants {
		select {
		case indices <- i:
		case <-ctx.Done():
		}
	}
	close(indices)
	group.Wait()
	return verdicts, context.Cause(ctx)
}
