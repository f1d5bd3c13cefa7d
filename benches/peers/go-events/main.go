// Does the works of `versus` with docker/go-events, and prints its rows for `versus --with`.
// README.md beside this file says how to run it.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	events "github.com/docker/go-events"
)

// As many writes to sinks as one run of one work makes in `versus`.
const total = 2_000_000

// Counter is the cheapest honest sink: one atomic addition an event.
type Counter struct{ count atomic.Int64 }

func (c *Counter) Write(events.Event) error { c.count.Add(1); return nil }
func (c *Counter) Close() error             { return nil }

// Round says when all subscribers have seen an event.
type Round struct {
	count       atomic.Int64
	subscribers int64
	done        chan struct{}
}

func (r *Round) Write(events.Event) error {
	if r.count.Add(1)%r.subscribers == 0 {
		r.done <- struct{}{}
	}
	return nil
}
func (r *Round) Close() error { return nil }

// Stuck waits in its first write, so that a backlog builds up behind it.
type Stuck struct{ release chan struct{} }

func (s *Stuck) Write(events.Event) error { <-s.release; return nil }
func (s *Stuck) Close() error             { return nil }

// Event is as large as that of `versus`.
type Event struct {
	ID      uint64
	Payload [48]byte
}

var sample = &Event{ID: 1}

// A work is set up off the clock, and returns what is on it.
type work func() func()

func main() {
	runs := flag.Int("runs", 5, "runs of each work; the median counts")
	flag.Parse()

	timed(*runs, "retry/success", total/10, retry)
	for _, producers := range []int{1, 4} {
		timed(*runs, fmt.Sprintf("queue/%dp", producers), total, queue(producers))
	}
	for _, subscribers := range []int{1, 10, 100, 1_000, 10_000} {
		count := atMost(200_000, total/subscribers)
		direct := func() events.Sink { return &Counter{} }
		queued := func() events.Sink { return events.NewQueue(&Counter{}) }
		name := fmt.Sprintf("broadcast/%d/", subscribers)
		timed(*runs, name+"direct", count, broadcast(subscribers, count, direct))
		timed(*runs, name+"queued", count, broadcast(subscribers, count, queued))
	}
	for _, subscribers := range []int{1, 100, 10_000} {
		count := atMost(20_000, 500_000/subscribers)
		timed(*runs, fmt.Sprintf("broadcast/%d/sparse", subscribers), count, sparse(subscribers, count))
	}
	weigh()
}

func retry() func() {
	sink := events.NewRetryingSink(&Counter{}, events.NewBreaker(5, time.Second))
	return func() {
		for i := 0; i < total/10; i++ {
			must(sink.Write(sample))
		}
	}
}

func queue(producers int) work {
	return func() func() {
		queue := events.NewQueue(&Counter{})
		return func() {
			var all sync.WaitGroup
			for range make([]struct{}, producers) {
				all.Add(1)
				go func() {
					defer all.Done()
					for i := 0; i < total/producers; i++ {
						must(queue.Write(sample))
					}
				}()
			}
			all.Wait()
			must(queue.Close())
		}
	}
}

func broadcast(subscribers, count int, subscriber func() events.Sink) work {
	return func() func() {
		sinks := make([]events.Sink, subscribers)
		for i := range sinks {
			sinks[i] = subscriber()
		}
		all := events.NewBroadcaster(sinks...)
		return func() {
			for i := 0; i < count; i++ {
				must(all.Write(sample))
			}
			must(all.Close())
		}
	}
}

// The next event is written when all queues have delivered the last.
func sparse(subscribers, count int) work {
	return func() func() {
		round := &Round{subscribers: int64(subscribers), done: make(chan struct{})}
		sinks := make([]events.Sink, subscribers)
		for i := range sinks {
			sinks[i] = events.NewQueue(round)
		}
		all := events.NewBroadcaster(sinks...)
		return func() {
			for i := 0; i < count; i++ {
				must(all.Write(sample))
				<-round.done
			}
		}
	}
}

func weigh() {
	before := heap()
	queues := make([]*events.Queue, 10_000)
	for i := range queues {
		queues[i] = events.NewQueue(&Counter{})
	}
	row(map[string]any{"work": "memory/idle-queue", "bytes": (heap() - before) / uint64(len(queues))})
	runtime.KeepAlive(queues)

	stuck := &Stuck{release: make(chan struct{})}
	queue := events.NewQueue(stuck)
	before = heap()
	for i := 0; i < 1_000_000; i++ {
		must(queue.Write(sample))
	}
	row(map[string]any{"work": "memory/backlog", "bytes": (heap() - before) / 1_000_000})
	close(stuck.release)
}

// Stacks are part of it: each queue has a goroutine.
func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapInuse + stats.StackInuse
}

func timed(runs int, name string, count int, prepare work) {
	times := make([]float64, runs)
	for i := range times {
		job := prepare()
		start := time.Now()
		job()
		times[i] = float64(time.Since(start).Nanoseconds()) / float64(count)
	}
	sort.Float64s(times)
	row(map[string]any{"work": name, "ns_per_event": times[runs/2]})
}

func atMost(most, count int) int {
	if count > most {
		return most
	}
	return count
}

func row(figure map[string]any) {
	figure["peer"] = "go-events"
	must(json.NewEncoder(os.Stdout).Encode(figure))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
