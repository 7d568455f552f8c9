package main

// Counters and profiles of each process, served on a Unix socket.

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"runtime/metrics"
	"syscall"
	"time"
)

// debugEnv names the socket of a plugin's debug server.
const debugEnv = "LOAD_DEBUG"

// counters are the resources that a process has used since its start.
type counters struct {
	PID      int
	CPU      time.Duration // user and system
	GC       time.Duration // of CPU, the garbage collector's
	Mallocs  uint64
	Bytes    uint64 // allocated
	GCs      uint32
	Live     uint64 // heap after the last collection
	Switches int64  // voluntary context switches: a thread blocked
}

func readCounters() (counters, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return counters{}, err
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	samples := []metrics.Sample{
		{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	return counters{
		PID: os.Getpid(), CPU: time.Duration(usage.Utime.Nano() + usage.Stime.Nano()),
		GC:      time.Duration(samples[0].Value.Float64() * float64(time.Second)),
		Mallocs: memory.Mallocs, Bytes: memory.TotalAlloc, GCs: memory.NumGC,
		Live: samples[1].Value.Uint64(), Switches: usage.Nvcsw,
	}, nil
}

// add adds the counters of another process.
func (c *counters) add(other counters) {
	c.CPU += other.CPU
	c.GC += other.GC
	c.Mallocs += other.Mallocs
	c.Bytes += other.Bytes
	c.GCs += other.GCs
	c.Live += other.Live
	c.Switches += other.Switches
}

// since returns the difference of two readings.
func (c counters) since(before counters) counters {
	c.CPU -= before.CPU
	c.GC -= before.GC
	c.Mallocs -= before.Mallocs
	c.Bytes -= before.Bytes
	c.GCs -= before.GCs
	c.Switches -= before.Switches
	return c
}

// serveDebug serves counters and profiles of this process on a Unix socket.
func serveDebug(ctx context.Context, socket string) error {
	routes := http.NewServeMux()
	routes.HandleFunc("/counters", func(w http.ResponseWriter, _ *http.Request) {
		if now, err := readCounters(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		} else {
			_ = json.NewEncoder(w).Encode(now)
		}
	})
	routes.HandleFunc("/profile", pprof.Profile)
	routes.HandleFunc("/trace", pprof.Trace)
	routes.HandleFunc("/pprof/", func(w http.ResponseWriter, r *http.Request) {
		pprof.Handler(r.URL.Path[len("/pprof/"):]).ServeHTTP(w, r)
	})
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}
	go func() { _ = newServer(routes).Serve(listener) }()
	return nil
}

func newServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
}

// debugged is another process with a debug server.
type debugged struct{ client *http.Client }

func newDebugged(socket string) *debugged {
	return &debugged{client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
}

func (d *debugged) counters(ctx context.Context) (now counters, err error) {
	response, err := d.get(ctx, "/counters")
	if err != nil {
		return now, err
	}
	defer response.Body.Close()
	return now, json.NewDecoder(response.Body).Decode(&now)
}

func (d *debugged) get(ctx context.Context, path string) (*http.Response, error) {
	address := "http://debug" + path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil) //nolint:gosec // our own
	if err != nil {
		return nil, err
	}
	return d.client.Do(request) //nolint:gosec // the socket of a process of ours
}

// save writes the response for a path to a file.
func (d *debugged) save(ctx context.Context, path, file string) error {
	response, err := d.get(ctx, path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := out.ReadFrom(response.Body); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
