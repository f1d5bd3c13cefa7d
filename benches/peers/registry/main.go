// Posts events with the notification endpoint of Docker's registry, the program out of which
// docker/go-events grew: a queue, a retry and one request an event.
//
// It prints a row for `versus --with`. README.md beside this file says how to run it.
package main

import (
	"flag"
	"fmt"
	"os"
	"sort"
	"time"

	"github.com/docker/distribution/notifications"
)

func main() {
	url := flag.String("url", "", "where to post to, as `cargo run -p benches --bin receiver` prints it")
	count := flag.Int("events", 5000, "how many events one run posts")
	runs := flag.Int("runs", 5, "how many runs; the median counts")
	flag.Parse()

	event := notifications.Event{ID: "1", Action: notifications.EventActionPush}
	event.Target.Repository = "library/hello-world"
	event.Target.Tag = "latest"

	var times []float64
	for run := 0; run < *runs; run++ {
		config := notifications.EndpointConfig{Timeout: 5 * time.Second}
		endpoint := notifications.NewEndpoint(fmt.Sprintf("run%d", run), *url, config)
		start := time.Now()
		for i := 0; i < *count; i++ {
			if err := endpoint.Write(event); err != nil {
				fail("a write: %v", err)
			}
		}
		// Ends once the queue is empty.
		if err := endpoint.Close(); err != nil {
			fail("the close: %v", err)
		}
		times = append(times, float64(time.Since(start).Nanoseconds())/float64(*count))

		var metrics notifications.EndpointMetrics
		endpoint.ReadMetrics(&metrics)
		if metrics.Successes != *count {
			fail("%d of %d were delivered", metrics.Successes, *count)
		}
	}
	sort.Float64s(times)
	fmt.Printf("{\"work\":\"http/one\",\"peer\":\"registry endpoint\",\"ns_per_event\":%.1f}\n", times[len(times)/2])
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}
