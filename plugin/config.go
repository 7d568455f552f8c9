package plugin

// The configuration of Open, and the checks of the binary before its start.

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/fosite-sessions/sessions/plugin/internal/grantcache"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Defaults of Config.
const (
	DefaultStartTimeout    = 30 * time.Second
	DefaultCallTimeout     = 5 * time.Second
	DefaultLongCallTimeout = time.Minute
	DefaultCloseTimeout    = 10 * time.Second
	DefaultHealthTimeout   = 2 * time.Second
	// DefaultCache is in bytes.
	DefaultCache = 64 << 20
)

// Config is the configuration of a plugin in its host.
type Config struct {
	// Path is the plugin's binary. A name without a slash is looked up in PATH. Required.
	Path string
	// Args are arguments for it. Ours take none.
	Args []string
	// Env are "NAME=value" entries for it. It inherits nothing from the host's environment.
	Env []string
	// Settings are marshalled to JSON and passed to the backend, which refuses unknown ones. Nil means none:
	// {}.
	Settings any
	// Checksum is the SHA-256 of the binary in hex. Another binary is not started. Empty means any; its sum
	// is logged. Other users must not be able to write the binary or its folder: the sum is computed just
	// before the start.
	Checksum string
	// StoreID pins the store: the backend must have the one with that id (ticketstore.Description.StoreID).
	// Another one, or none, is refused as ticketstore.ErrOtherStore, and nothing is created. Where it is
	// empty, the ids of Open's context count (ticketstore.WithStoreIDs), of which there may be several;
	// without any, an existing store is opened, or one is created. A plugin that is restarted must serve the
	// store that was opened first (rule 11).
	StoreID string
	// SocketDir is where the folder of the socket is made: os.TempDir() by default, which TMPDIR names. Unix
	// limits the path of a socket to some 100 bytes, of which we need 40.
	SocketDir string
	// StartTimeout bounds the start: the process, its handshake, and opening the backend, for which the
	// badger plugin waits until a process that is ending has released the folder. DefaultStartTimeout when
	// zero.
	StartTimeout time.Duration
	// CallTimeout bounds each call whose context has no earlier deadline: DefaultCallTimeout when zero. A
	// call that it ends is ticketstore.ErrUnavailable. LongCallTimeout replaces it for calls that may end
	// many sessions: DefaultLongCallTimeout when zero. If the plugin dies or hangs meanwhile (HealthTimeout),
	// the call continues with the next plugin, or ends CallTimeout later.
	CallTimeout     time.Duration
	LongCallTimeout time.Duration
	// CloseTimeout is how long the plugin may take to close its database before it is killed:
	// DefaultCloseTimeout when zero.
	CloseTimeout time.Duration
	// HealthTimeout is how long the plugin may take to answer a health check, once a second, before it is
	// killed and restarted: DefaultHealthTimeout when zero.
	HealthTimeout time.Duration
	// Cache bounds the memory for copies of live access tokens, which spare introspection the call, in bytes
	// by an estimate: DefaultCache when zero, no copies when negative. No copy answers after the end of what
	// it is of was acknowledged (rule 15). Of a plugin that does not tell what its commits kill (the service
	// grantstore.KillsService), and of a store that several hosts share without leases
	// (grantstore.LeasesService), there are no copies.
	Cache int64
	// TracerProvider makes a span of each call under a span that is sampled, and records below it what the
	// plugin says that it did: the waits, syncs and reads of its engine. No span has an attribute about a
	// person or a client. Nil means no spans: not the global provider of OpenTelemetry's API, for what leaves
	// the server is said by its configuration alone. otel.GetTracerProvider() asks for that one.
	TracerProvider trace.TracerProvider
	// MeterProvider measures how long calls take (rpc.client.call.duration). Nil means not at all.
	MeterProvider metric.MeterProvider
	// Logger gets the plugin's log and log lines about the plugin. slog.Default() when nil.
	Logger *slog.Logger

	// meter counts for all processes of a client.
	meter *grantcache.Meter
}

// prepare sets defaults and validates.
func (c *Config) prepare() (settings []byte, err error) {
	if c.Path == "" {
		return nil, ticketstore.Invalidf("Path", "is empty: name the plugin's binary")
	}
	if sum, err := hex.DecodeString(c.Checksum); err != nil || (len(sum) != 0 && len(sum) != sha256.Size) {
		return nil, ticketstore.Invalidf("Checksum", "is not a SHA-256 in hex (%d digits)", 2*sha256.Size)
	}
	for _, timeout := range []struct {
		field    string
		value    *time.Duration
		standard time.Duration
	}{
		{"StartTimeout", &c.StartTimeout, DefaultStartTimeout},
		{"CallTimeout", &c.CallTimeout, DefaultCallTimeout},
		{"LongCallTimeout", &c.LongCallTimeout, DefaultLongCallTimeout},
		{"CloseTimeout", &c.CloseTimeout, DefaultCloseTimeout},
		{"HealthTimeout", &c.HealthTimeout, DefaultHealthTimeout},
	} {
		if *timeout.value < 0 {
			return nil, ticketstore.Invalidf(timeout.field, "is negative")
		}
		if *timeout.value == 0 {
			*timeout.value = timeout.standard
		}
	}
	c.meter = &grantcache.Meter{}
	if c.Cache == 0 {
		c.Cache = DefaultCache
	}
	if err := ticketstore.CheckText("StoreID", c.StoreID, ticketstore.MaxID); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Settings == nil {
		return []byte("{}"), nil
	}
	settings, err = json.Marshal(c.Settings)
	if err != nil {
		return nil, ticketstore.Invalidf("Settings", "cannot be written as JSON: %v", err)
	}
	return settings, nil
}

// locate returns the path of the binary. Its errors say what to do.
func (c *Config) locate() (string, error) {
	path, err := exec.LookPath(c.Path)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", errors.New("there is no such program in PATH: install it there or give its full path")
	case errors.Is(err, fs.ErrNotExist):
		return "", errors.New("there is no such file: build the plugin or correct the path")
	}
	// LookPath has the same error for a folder and for a file without execute permission.
	info, statErr := os.Stat(c.Path)
	switch {
	case err != nil && statErr == nil && info.IsDir():
		return "", errors.New("it is a folder: give the path of the plugin's binary in it")
	case errors.Is(err, fs.ErrPermission) && statErr == nil && info.Mode()&0o111 != 0 && onNoExec(c.Path):
		return "", errNoExec
	case errors.Is(err, fs.ErrPermission):
		return "", errors.New("it may not be executed by this user: set its mode (chmod +x) or run as its " +
			"owner")
	case err != nil:
		return "", err
	}
	return filepath.Abs(path)
}

// verify compares the binary with the checksum and returns its sum.
func (c *Config) verify(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	sum := hash.Sum(nil)
	seen := hex.EncodeToString(sum)
	if c.Checksum == "" {
		return seen, nil
	}
	want, err := hex.DecodeString(c.Checksum)
	if err != nil || subtle.ConstantTimeCompare(want, sum) != 1 {
		return "", fmt.Errorf("its SHA-256 is %s, Config.Checksum is %s: it is not the binary that was "+
			"pinned, so it was not started", seen, c.Checksum)
	}
	return seen, nil
}
